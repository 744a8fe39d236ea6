package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
)

// CommandLine parses the command line as the library does, but goes on after a problem. It
// returns all problems, the command, and the arguments that are not flags. The library returns
// neither the rest of the line nor the position of its first error, so it cannot be resumed; a
// fuzz test compares both.
func (s *Settings) CommandLine() (command *cli.Command, arguments []string, problems Problems) {
	command = s.app
	for words := s.line; len(words) > 0; {
		raw, word := words[0], strings.TrimSpace(words[0])
		words = words[1:]
		switch name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"); {
		case word == "--":
			return command, append(arguments, words...), problems
		case !strings.HasPrefix(word, "-") || word == "-":
			sub := command.Command(word)
			switch {
			case sub == nil:
				arguments = append(arguments, word)
			case len(arguments) > 0 || raw != word: // the library stops here
				return command, append(append(arguments, word), words...), problems
			default:
				command = sub
			}
		case !strings.HasPrefix(word, "--") && !beginsWithLetter(name): // such as a negative number
			return command, append(append(arguments, word), words...), problems
		default:
			shown, _, _ := strings.Cut(word, "=")
			name, _, _ = strings.Cut(name, "=")
			_, text, hasValue := strings.Cut(raw, "=")
			var problem error
			if words, problem = s.parseFlag(command, name, text, hasValue, words); problem != nil {
				problems = append(problems, Problem{Where: shown, Err: problem})
			}
		}
	}
	return command, arguments, problems
}

// parseFlag checks a flag with the value that is part of its word or, if there is none, with
// the next word, and returns the words after it.
func (s *Settings) parseFlag(command *cli.Command, name, text string, hasValue bool, next []string) ([]string, error) {
	flag := find(flagsOf(command), name)
	if flag == nil {
		if !hasValue && len(next) > 0 && !strings.HasPrefix(next[0], "-") && command.Command(next[0]) == nil {
			next = next[1:] // probably its value
		}
		return next, s.unknownFlag(command, name)
	}
	_, isBool := flag.Get().(bool)
	switch {
	case isBool && text == "":
		return next, nil
	case !isBool && !hasValue:
		if len(next) == 0 {
			return nil, errors.New("a value is missing")
		}
		text, next = next[0], next[1:]
	}
	for _, f := range s.bound[flag.Names()[0]] {
		if f.flag == flag {
			return next, f.check(text)
		}
	}
	if flag == cli.Flag(s.file) {
		return next, s.file.Set(name, text) // the library may have stopped before it
	}
	return next, nil // one of the library's flags
}

func (s *Settings) unknownFlag(command *cli.Command, name string) error {
	if s.bound[name] != nil {
		return fmt.Errorf("%s does not have this flag, other commands do", command.FullName())
	}
	if near := cli.SuggestFlag(flagsOf(command), name, false); near != "" {
		return fmt.Errorf("unknown flag: did you mean %s?", near)
	}
	return errors.New("unknown flag")
}

func beginsWithLetter(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLetter(first)
}

// flagsOf are the flags that a command accepts: its own and those of the commands above it.
func flagsOf(command *cli.Command) (flags []cli.Flag) {
	for _, above := range command.Lineage() {
		for _, flag := range above.Flags {
			if local, is := flag.(cli.LocalFlag); above == command || !is || !local.IsLocal() {
				flags = append(flags, flag)
			}
		}
	}
	return flags
}

func find(flags []cli.Flag, name string) cli.Flag {
	at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if at < 0 {
		return nil
	}
	return flags[at]
}
