package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/pkg/bucket"
	"genrec/pkg/registry"
)

// configCommand takes every flag that others have and that is also a variable.
func configCommand(others []*cli.Command) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print every setting and where it comes from, and check the servers",
		Description: `Prints a line for each setting: its value, and whether a flag, a variable or nobody
set it. Passwords are not shown. With --check it also connects to Kafka and Redis
as the services do, which creates topics that are missing, and to the bucket of the
models, if they are in one, and fails with what is to be done if they refuse.

Example:   GENREC_KAFKA=kafka:9092 GENREC_REDIS=redis:6379 genrec config --check`,
		Flags: append(settings(others), &cli.BoolFlag{Name: "check", Usage: "connect to Kafka and Redis, and to the models' bucket"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := printSettings(cmd); err != nil {
				return err
			}
			if !cmd.Bool("check") {
				return nil
			}
			return checkServers(ctx, cmd)
		},
	}
}

// settings returns the flags of commands that are also variables, each name once.
func settings(commands []*cli.Command) []cli.Flag {
	var flags []cli.Flag
	known := make(map[string]bool)
	for _, command := range commands {
		for _, flag := range command.Flags {
			if name := flag.Names()[0]; variable(flag) != "" && !known[name] {
				known[name] = true
				flags = append(flags, flag)
			}
		}
	}
	return flags
}

func variable(flag cli.Flag) string {
	if f, ok := flag.(cli.DocGenerationFlag); ok && len(f.GetEnvVars()) > 0 {
		return f.GetEnvVars()[0]
	}
	return ""
}

func printSettings(cmd *cli.Command) error {
	var lines []string
	for _, flag := range settings([]*cli.Command{cmd.Root(), cmd}) {
		name := flag.Names()[0]
		lines = append(lines, strings.Join([]string{name, shown(name, flag.Get()), source(cmd, flag)}, "\t"))
	}
	for _, secret := range []struct{ name, file, variable string }{
		{"kafka-password", "kafka-password-file", envVar("kafka", "password")},
		{"redis-password", "redis-password-file", envVar("redis", "password")},
		{"tokens", "tokens-file", tokensVariable},
	} {
		value, from := "not set", "default"
		if cmd.String(secret.file) != "" {
			value, from = "not shown", "the file"
		} else if os.Getenv(secret.variable) != "" {
			value, from = "not shown", secret.variable
		}
		lines = append(lines, strings.Join([]string{secret.name, value, from}, "\t"))
	}
	slices.Sort(lines)
	w := tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// source finds out who set a flag: its command reads the variable only where the
// command line leaves it open, so a variable that says the same gets the credit.
func source(cmd *cli.Command, flag cli.Flag) string {
	name := flag.Names()[0]
	if !cmd.IsSet(name) {
		return "default"
	}
	app := newApp()
	for _, unset := range settings(append(app.Commands, app)) {
		if unset.Names()[0] != name {
			continue
		}
		if err := unset.PostParse(); err == nil && unset.IsSet() && reflect.DeepEqual(unset.Get(), flag.Get()) {
			return variable(unset)
		}
	}
	return "--" + name
}

// shown keeps a password that does not belong into an address from being seen.
func shown(name string, value any) string {
	if all, several := value.([]string); several {
		value = strings.Join(all, ",")
	}
	text := fmt.Sprint(value)
	if at := strings.LastIndex(text, "@"); (name == "redis" || name == "models") && at >= 0 {
		text = "(not shown)" + text[at:]
	}
	return strings.Join(strings.Fields(text), " ")
}

// checkTimeout is how long a check waits for servers that do not answer.
const checkTimeout = 30 * time.Second

func checkServers(ctx context.Context, cmd *cli.Command) (err error) {
	if len(cmd.StringSlice("kafka")) == 0 || cmd.String("redis") == "" {
		return errors.New("--kafka and --redis are needed: which servers are to be checked?")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	past, err := openHistory(cmd)
	if err != nil {
		return err
	}
	s, err := connect(ctx, cmd, append(ingestAccess(past), inference.Config{}.Access())...)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.Root().Writer, "Kafka %v and Redis allow all that ingest and infer do\n", s.kafka)
	return errors.Join(checkBucket(ctx, cmd), s.close())
}

// checkBucket asks what serves, where the models are in a bucket.
func checkBucket(ctx context.Context, cmd *cli.Command) error {
	if !strings.HasPrefix(cmd.String("models"), bucket.Scheme) {
		return nil
	}
	models, err := openRegistry(ctx, cmd)
	if err != nil {
		return err
	}
	shares, err := models.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		_, err = fmt.Fprintln(cmd.Root().Writer, "the bucket can be read, and has no version yet")
		return err
	}
	if err != nil {
		return err
	}
	return writeLine(cmd.Root().Writer, "the bucket can be read, and is serving", shares)
}
