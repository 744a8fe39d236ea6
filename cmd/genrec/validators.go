package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
)

// oneOf is the validator of a flag with a fixed set of values.
func oneOf(words ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(words, text) {
			return nil
		}
		if len(words) == 2 {
			return fmt.Errorf("%q is neither %s nor %s", text, words[0], words[1])
		}
		return fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	}
}

// parsable is the validator of a flag that parse will read.
func parsable[Given, Parsed any](parse func(Given) (Parsed, error)) func(Given) error {
	return func(given Given) error {
		_, err := parse(given)
		return err
	}
}

// optional is a validator that accepts an empty text, too.
func optional(validate func(string) error) func(string) error {
	return func(text string) error {
		if text == "" {
			return nil
		}
		return validate(text)
	}
}

// hostPort is the validator of HOST:PORT.
func hostPort(text string) error {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return fmt.Errorf("%q is not HOST:PORT", text)
	}
	return nil
}

func hostPorts(all []string) error {
	for _, one := range all {
		if err := hostPort(one); err != nil {
			return err
		}
	}
	return nil
}

// atLeast is the validator of a number or a duration with a lower bound.
func atLeast[N cmp.Ordered](least N) func(N) error {
	return func(n N) error {
		if n < least {
			return fmt.Errorf("%v is less than %v", n, least)
		}
		return nil
	}
}

// between is the validator of a number with both bounds, inclusive.
func between[N cmp.Ordered](least, most N) func(N) error {
	return func(n N) error {
		if n < least || n > most {
			return fmt.Errorf("%v is not between %v and %v", n, least, most)
		}
		return nil
	}
}

// positive is the validator of a number or a duration above 0.
func positive[N ~int64 | ~float64](n N) error {
	if n <= 0 {
		return fmt.Errorf("%v is not positive", n)
	}
	return nil
}
