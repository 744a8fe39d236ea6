package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
)

// among is the validator of a flag that takes one of a few words.
func among(words ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(words, text) {
			return nil
		}
		if len(words) == 2 {
			return fmt.Errorf("%q is neither %s nor %s", text, words[0], words[1])
		}
		return fmt.Errorf("%q is none of %s", text, strings.Join(words, ", "))
	}
}

// parsable is the validator of a flag that parse reads later.
func parsable[Given, Parsed any](parse func(Given) (Parsed, error)) func(Given) error {
	return func(given Given) error {
		_, err := parse(given)
		return err
	}
}

// optional is a validator that takes an empty text, too.
func optional(validate func(string) error) func(string) error {
	return func(text string) error {
		if text == "" {
			return nil
		}
		return validate(text)
	}
}

// anAddress is the validator of HOST:PORT.
func anAddress(text string) error {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return fmt.Errorf("%q is no HOST:PORT", text)
	}
	return nil
}

func addresses(all []string) error {
	for _, one := range all {
		if err := anAddress(one); err != nil {
			return err
		}
	}
	return nil
}

// atLeast is the validator of a number or a time.
func atLeast[N cmp.Ordered](least N) func(N) error {
	return func(n N) error {
		if n < least {
			return fmt.Errorf("%v is less than %v", n, least)
		}
		return nil
	}
}

// between is the validator of a number that has an upper bound, too.
func between[N cmp.Ordered](least, most N) func(N) error {
	return func(n N) error {
		if n < least || n > most {
			return fmt.Errorf("%v is not between %v and %v", n, least, most)
		}
		return nil
	}
}

// positive is the validator of what cannot be 0, either.
func positive[N ~int64 | ~float64](n N) error {
	if n <= 0 {
		return fmt.Errorf("%v is not above 0", n)
	}
	return nil
}
