package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
)

// explainMistakes lets those of the command line, of variables and of the file end in words,
// all together, in place of the whole help.
func explainMistakes(app *cli.Command, given *settings.Settings) {
	each := []*cli.Command{app}
	for len(each) > 0 {
		command := each[0]
		command.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			return cmp.Or(mistakes(given, nil), err)
		}
		command.ArgValidator = func(_ context.Context, cmd *cli.Command) error { return mistakes(given, cmd) }
		each = append(each[1:], command.Commands...)
	}
}

// mistakes are all that there are. Those of variables and the file are none of a command that
// needs neither, or tells of them itself.
func mistakes(given *settings.Settings, understood *cli.Command) error {
	command, arguments, wrong := given.Line()
	if understood != nil {
		command, arguments = understood, understood.Args().Slice()
	}
	stray := strayArgument(command, arguments)
	wrongUse := settings.Join(wrong, stray)
	read := given.Read()
	if wrongUse == nil && toleratesMistakes(command) {
		return nil
	}
	all := settings.Join(wrongUse, read)
	if wrongUse == nil || all == nil {
		return all
	}
	return fmt.Errorf("%w\n%s --help tells more", all, command.FullName())
}

// toleratesMistakes says whether a command is of use in spite of them: a group, which shows
// its help, and those that examine.
func toleratesMistakes(command *cli.Command) bool {
	if hasCommands(command) {
		return true
	}
	return slices.ContainsFunc(command.Lineage(), func(c *cli.Command) bool {
		return slices.Contains([]string{"help", "completion", "version", "doctor", "config"}, c.Name)
	})
}

// strayArgument refuses what a command would not look at, such as an address without its
// flag.
func strayArgument(command *cli.Command, arguments []string) error {
	switch {
	case len(arguments) == 0 || command.ArgsUsage != "":
		return nil
	case !hasCommands(command):
		return fmt.Errorf("%q is one argument too many", arguments[0])
	}
	if near := cli.SuggestCommand(command.Commands, arguments[0]); near != "" {
		return fmt.Errorf("unknown command %q: did you mean %q?", arguments[0], near)
	}
	return fmt.Errorf("unknown command %q", arguments[0])
}

// hasCommands says whether there are any but the help that every command has.
func hasCommands(cmd *cli.Command) bool {
	return slices.ContainsFunc(cmd.Commands, func(c *cli.Command) bool { return c.Name != "help" })
}
