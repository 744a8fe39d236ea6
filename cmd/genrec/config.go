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

// configCommand accepts the flags of all other commands.
func configCommand(flags []cli.Flag, given *settings.Settings) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print every setting and its origin",
		Description: `Prints a line for each setting: its value, and its origin: a flag, an environment
variable, a line of the file, or the default. Passwords are not shown.

A flag takes precedence over its variable, a variable over the file that --config or
GENREC_CONFIG names, and the file over the default. The file is YAML: its keys are flag
names without dashes, its values are single values or lists. All commands can share one
file; each uses the keys that it has flags for. A key or a value that no command accepts
is an error of every command, with its line; config still prints the valid settings.

Examples:  genrec config --config genrec.yaml
           GENREC_KAFKA=kafka:9092 GENREC_REDIS=redis:6379 genrec config check`,
		Flags: flags,
		Action: func(_ context.Context, cmd *cli.Command) error {
			return errors.Join(printSettings(cmd.Root().Writer, listSettings(cmd, given), cmd.Bool("json")), settings.Join(given.Problems()))
		},
		Commands: []*cli.Command{configCheckCommand(given)},
	}
}

// setting is a setting as config prints it.
type setting struct {
	Name   string `json:"name"`
	Value  any    `json:"value"` // null: not set, or a secret
	Origin string `json:"origin"`
}

func listSettings(cmd *cli.Command, given *settings.Settings) (list []setting) {
	for _, flag := range slices.Concat(cmd.Flags, cmd.Root().Flags) {
		if name := flag.Names()[0]; name != "help" && name != "version" { // which are no settings
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
			list = append(list, setting{secret.name, hidden, "--" + file})
		case os.Getenv(secret.variable) != "":
			list = append(list, setting{secret.name, hidden, secret.variable})
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

// Placeholders for values.
const (
	hidden = "(not shown)"
	notSet = "not set"
)

// shown returns a value for printing. It hides the credentials in an address.
func shown(name string, value any) any {
	switch v := value.(type) {
	case time.Duration:
		return v.String()
	case []string:
		return append([]string{}, v...) // [] rather than null
	case string:
		if at := strings.LastIndex(v, "@"); (name == "redis" || name == "models") && at >= 0 {
			return hidden + v[at:]
		}
	}
	return value
}
