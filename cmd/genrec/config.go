package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
)

// configCommand takes the flags of all other commands.
func configCommand(flags []cli.Flag, given *settings.Settings) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print every setting and where it comes from",
		Description: `Prints a line for each setting: its value, and whether a flag, a variable, the file
or nobody set it. Passwords are not shown.

A flag goes before its variable, a variable before the file that --config or
GENREC_CONFIG names, and the file before the default. The file is YAML: its keys are
the names of flags without the dashes, each a value or a list. All commands can share
one; each takes what it has a flag for. A key or a value that no command takes is
refused by all of them, with its line; config prints what is right all the same.

Examples:  genrec config --config genrec.yaml
           GENREC_KAFKA=kafka:9092 GENREC_REDIS=redis:6379 genrec config check`,
		Flags: flags,
		Action: func(_ context.Context, cmd *cli.Command) error {
			return errors.Join(printSettings(cmd.Root().Writer, listSettings(cmd, given), cmd.Bool("json")), settings.Join(given.Problems()))
		},
		Commands: []*cli.Command{configCheckCommand(given)},
	}
}

// setting is one as config prints it.
type setting struct {
	Name   string `json:"name"`
	Value  any    `json:"value"` // null: not set, or a secret
	Origin string `json:"origin"`
}

func listSettings(cmd *cli.Command, given *settings.Settings) (list []setting) {
	for _, flag := range slices.Concat(cmd.Flags, cmd.Root().Flags) {
		if name := flag.Names()[0]; name != "help" && name != "version" { // which set nothing
			list = append(list, setting{name, shown(name, flag.Get()), given.Origin(flag)})
		}
	}
	for _, secret := range []struct{ name, variable string }{
		{"kafka-password", passwordVariable("kafka")},
		{"redis-password", passwordVariable("redis")},
		{"tokens", tokensVariable},
	} {
		switch file := secret.name + "-file"; {
		case cmd.String(file) != "":
			list = append(list, setting{secret.name, notShown, "--" + file})
		case os.Getenv(secret.variable) != "":
			list = append(list, setting{secret.name, notShown, secret.variable})
		default:
			list = append(list, setting{secret.name, nil, "default"})
		}
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func printSettings(out io.Writer, list []setting, asJSON bool) error {
	if asJSON {
		return encodeLines(out, list)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range list {
		text := fmt.Sprint(s.Value)
		switch value := s.Value.(type) {
		case nil:
			text = notSet
		case []string:
			text = strings.Join(value, ",")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, cmp.Or(strings.Join(strings.Fields(text), " "), notSet), s.Origin)
	}
	return w.Flush()
}

// What stands in place of values.
const (
	notShown = "(not shown)"
	notSet   = "not set"
)

// shown keeps a password that does not belong into an address from being seen.
func shown(name string, value any) any {
	switch v := value.(type) {
	case time.Duration:
		return v.String()
	case []string:
		return append([]string{}, v...) // [] where there is none
	case string:
		if at := strings.LastIndex(v, "@"); (name == "redis" || name == "models") && at >= 0 {
			return notShown + v[at:]
		}
	}
	return value
}
