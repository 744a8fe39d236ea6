package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/inference"
	"genrec/pkg/bucket"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
)

func configCheckCommand(given *settings.Settings) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "look whether all settings are right, and connect to the servers",
		Description: `Names everything that is wrong with the settings. If nothing is, and --kafka and --redis
name both, it connects to them as the services do, which creates topics that are missing,
and to the bucket of the models, if they are in one, and fails with what is to be done if
they refuse.

Example:   genrec config check --config genrec.yaml`,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			warnOfStrangers(given)
			if err := settings.Join(given.Problems(), checkSettings(cmd)); err != nil {
				return errors.Join(printMistakes(cmd, err), err)
			}
			if len(cmd.StringSlice("kafka")) == 0 || cmd.String("redis") == "" {
				return printResult(cmd, checkedServers{}, "the settings are right; servers were not asked: --kafka and --redis name them")
			}
			checked, err := checkServers(ctx, cmd)
			if err != nil {
				return err
			}
			return checked.print(cmd)
		},
	}
}

// warnOfStrangers tells of variables that are probably mistyped.
func warnOfStrangers(given *settings.Settings) {
	for variable, near := range given.Strangers() {
		if others := []string{passwordVariable("kafka"), passwordVariable("redis"), tokensVariable}; !slices.Contains(others, variable) {
			slog.Warn("no command of genrec reads this variable", "variable", variable, "did_you_mean", near)
		}
	}
}

// checkSettings reads what belongs together as the commands do. What a flag alone can tell
// was told before.
func checkSettings(cmd *cli.Command) error {
	_, kafkaErr := kafkaCluster(cmd)
	_, _, rankerErr := rankerSettings(cmd)
	_, recipeErr := chosenRecipe(cmd)
	_, serveErr := serveConfig(cmd)
	_, redisErr := redisConfig(cmd, cmd.String("redis"))
	return settings.Join(kafkaErr, redisErr, rankerErr, recipeErr, serveErr)
}

// checkedServers are those that allow what is needed.
type checkedServers struct {
	Kafka   stream.Cluster   `json:"-"`
	Brokers []string         `json:"kafka"`
	Redis   bool             `json:"redis"`
	Bucket  bool             `json:"bucket"`            // false where the models are in a folder
	Serving []registry.Share `json:"serving,omitempty"` // of the bucket
}

// mistake is one as --json prints it.
type mistake struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// printMistakes prints those of the settings as JSON, where that is asked for.
func printMistakes(cmd *cli.Command, err error) error {
	var all settings.Problems
	if !errors.As(err, &all) || !cmd.Bool("json") {
		return nil
	}
	mistakes := make([]mistake, len(all))
	for i, problem := range all {
		mistakes[i] = mistake{problem.Where, problem.Err.Error()}
	}
	return json.NewEncoder(cmd.Root().Writer).Encode(map[string][]mistake{"mistakes": mistakes})
}

// checkTimeout is how long a check waits for servers that do not answer.
const checkTimeout = 30 * time.Second

func checkServers(ctx context.Context, cmd *cli.Command) (checked checkedServers, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	past, err := openHistory(cmd)
	if err != nil {
		return checked, err
	}
	s, err := connect(ctx, cmd, append(ingestAccess(past), inference.Config{}.Permissions())...)
	if err != nil {
		return checked, err
	}
	checked = checkedServers{Kafka: s.kafka, Brokers: s.kafka.Brokers, Redis: true}
	if err := s.close(); err != nil || !strings.HasPrefix(cmd.String("models"), bucket.Scheme) {
		return checked, err
	}
	models, err := openRegistry(ctx, cmd)
	if err != nil {
		return checked, err
	}
	checked.Bucket = true
	if checked.Serving, err = models.Serving(ctx); errors.Is(err, registry.ErrNoVersion) {
		err = nil
	}
	return checked, err
}

func (c checkedServers) print(cmd *cli.Command) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(c)
	}
	_, err := fmt.Fprintf(out, "Kafka %v and Redis allow all that ingest and infer do\n", c.Kafka)
	switch {
	case err != nil || !c.Bucket:
		return err
	case len(c.Serving) == 0:
		_, err = fmt.Fprintln(out, "the bucket can be read, and has no version yet")
		return err
	}
	return writeLine(out, "the bucket can be read, and is serving", c.Serving)
}
