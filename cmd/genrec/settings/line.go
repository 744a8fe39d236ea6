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

// Line reads the command line as the library does, which stops at the first mistake, and
// returns all of them, the command that it names, and what it gives that besides flags.
func (s *Settings) Line() (command *cli.Command, arguments []string, problems Problems) {
	command = s.app
	for words := s.line; len(words) > 0; {
		raw, word := words[0], strings.TrimSpace(words[0])
		words = words[1:]
		switch name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"); {
		case word == "--":
			return command, append(arguments, words...), problems
		case !strings.HasPrefix(word, "-") || word == "-":
			below := command.Command(word)
			switch {
			case below == nil:
				arguments = append(arguments, word)
			case len(arguments) > 0 || raw != word: // where the library reads no further
				return command, append(append(arguments, word), words...), problems
			default:
				command = below
			}
		case !strings.HasPrefix(word, "--") && !beginsWithLetter(name): // such as a negative number
			return command, append(append(arguments, word), words...), problems
		default:
			shown, _, _ := strings.Cut(word, "=")
			name, _, _ = strings.Cut(name, "=")
			_, text, has := strings.Cut(raw, "=")
			var problem error
			if words, problem = s.readFlag(command, name, text, has, words); problem != nil {
				problems = append(problems, Problem{Where: shown, Err: problem})
			}
		}
	}
	return command, arguments, problems
}

// readFlag takes a flag's value from itself, if it has one, or from the next word, and returns
// the words after it.
func (s *Settings) readFlag(command *cli.Command, name, text string, has bool, next []string) ([]string, error) {
	flag := find(inScope(command), name)
	if flag == nil {
		if !has && len(next) > 0 && !strings.HasPrefix(next[0], "-") && command.Command(next[0]) == nil {
			next = next[1:] // probably its value
		}
		return next, s.noSuchFlag(command, name)
	}
	_, isBool := flag.Get().(bool)
	switch {
	case isBool && text == "":
		return next, nil
	case !isBool && !has:
		if len(next) == 0 {
			return nil, errors.New("it needs a value")
		}
		text, next = next[0], next[1:]
	}
	for _, t := range s.tries[flag.Names()[0]] {
		if t.flag == flag {
			return next, t.set(text)
		}
	}
	if flag == cli.Flag(s.file) {
		return next, s.file.Set(name, text) // the library may not come so far
	}
	return next, nil // the library's own
}

func (s *Settings) noSuchFlag(command *cli.Command, name string) error {
	if s.tries[name] != nil {
		return fmt.Errorf("it is a flag of other commands, not of %s", command.FullName())
	}
	if near := cli.SuggestFlag(inScope(command), name, false); near != "" {
		return fmt.Errorf("there is no such flag: did you mean %s?", near)
	}
	return errors.New("there is no such flag")
}

func beginsWithLetter(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLetter(first)
}

// inScope are the flags that a command takes: its own and those of the commands above it.
func inScope(command *cli.Command) (flags []cli.Flag) {
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
