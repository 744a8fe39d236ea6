package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// explainWrongUse lets mistakes on the command line end in one line that says what was meant,
// in place of the whole help.
func explainWrongUse(cmd *cli.Command) {
	cmd.OnUsageError, cmd.ArgValidator = usageError, noStrayArguments
	for _, below := range cmd.Commands {
		explainWrongUse(below)
	}
}

var (
	unknownFlag = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	wrongValue  = regexp.MustCompile(`(?s)^invalid value ".*" for flag -([a-z-]+): (?:strconv\.[A-Za-z]+: parsing )?(.*)$`)
)

func usageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	if match := wrongValue.FindStringSubmatch(err.Error()); match != nil {
		return fmt.Errorf("--%s: %s", match[1], match[2])
	}
	if match := unknownFlag.FindStringSubmatch(err.Error()); match != nil {
		err = fmt.Errorf("there is no flag --%s", match[1])
		if near := cli.SuggestFlag(slices.Concat(cmd.Flags, cmd.Root().Flags), match[1], false); near != "" {
			err = fmt.Errorf("%w: did you mean %s?", err, near)
		}
	}
	return fmt.Errorf("%w (%s --help tells of all)", err, cmd.FullName())
}

// noStrayArguments refuses what a command would not look at, such as an address without its
// flag.
func noStrayArguments(_ context.Context, cmd *cli.Command) error {
	stray := cmd.Args().First()
	switch {
	case stray == "" || cmd.ArgsUsage != "":
		return nil
	case !hasCommands(cmd):
		return fmt.Errorf("%q is one argument too many (%s --help tells of all)", stray, cmd.FullName())
	}
	text := fmt.Sprintf("unknown command %q", stray)
	if near := cli.SuggestCommand(cmd.Commands, stray); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return errors.New(text + " (" + cmd.FullName() + " --help lists them)")
}

// hasCommands says whether there are any but the help that every command has.
func hasCommands(cmd *cli.Command) bool {
	return slices.ContainsFunc(cmd.Commands, func(c *cli.Command) bool { return c.Name != "help" })
}

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
func parsable[T any](parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}
