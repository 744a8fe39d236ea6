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
		Usage: "validate all settings, and try to connect to the servers",
		Description: `Reports every problem of the settings. If there is none and both --kafka and --redis are
given, it connects to them as the services do, which creates missing topics, and to the
bucket of the models, if they are in one. If a server refuses, the error says what to do.

Example:   genrec config check --config genrec.yaml`,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			warnOfUnknownVariables(given)
			if err := settings.Join(given.Problems(), checkSettings(cmd)); err != nil {
				return errors.Join(printProblems(cmd, err), err)
			}
			if len(cmd.StringSlice("kafka")) == 0 || cmd.String("redis") == "" {
				return printResult(cmd, checkedServers{}, "the settings are valid; servers were not checked: give --kafka and --redis")
			}
			checked, err := checkServers(ctx, cmd)
			if err != nil {
				return err
			}
			return checked.print(cmd)
		},
	}
}

// warnOfUnknownVariables logs variables that are probably misspelled.
func warnOfUnknownVariables(given *settings.Settings) {
	for variable, near := range given.UnknownVariables() {
		if others := []string{passwordVariable("kafka"), passwordVariable("redis"), tokensVariable}; !slices.Contains(others, variable) {
			slog.Warn("unknown environment variable, which no command of genrec reads", "variable", variable, "did_you_mean", near)
		}
	}
}

// checkSettings checks settings that depend on each other or on files. Single flags have been
// validated before.
func checkSettings(cmd *cli.Command) error {
	_, kafkaErr := kafkaCluster(cmd)
	_, _, rankerErr := rankerSettings(cmd)
	_, recipeErr := chosenRecipe(cmd)
	_, serveErr := serveConfig(cmd)
	_, redisErr := redisConfig(cmd, cmd.String("redis"))
	return settings.Join(kafkaErr, redisErr, rankerErr, recipeErr, serveErr)
}

// checkedServers are the servers that allow what the services do.
type checkedServers struct {
	Kafka   stream.Cluster   `json:"-"`
	Brokers []string         `json:"kafka"`
	Redis   bool             `json:"redis"`
	Bucket  bool             `json:"bucket"`            // false if the models are in a folder
	Serving []registry.Share `json:"serving,omitempty"` // by the bucket
}

// problem is a problem of the settings as --json prints it.
type problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// printProblems prints the problems of the settings with --json.
func printProblems(cmd *cli.Command, err error) error {
	var all settings.Problems
	if !errors.As(err, &all) || !cmd.Bool("json") {
		return nil
	}
	problems := make([]problem, len(all))
	for i, p := range all {
		problems[i] = problem{p.Where, p.Err.Error()}
	}
	return json.NewEncoder(cmd.Root().Writer).Encode(map[string][]problem{"mistakes": problems})
}

// checkTimeout is how long config check waits for servers that do not answer.
const checkTimeout = 30 * time.Second

func checkServers(ctx context.Context, cmd *cli.Command) (checked checkedServers, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	historyDir, err := openHistory(cmd)
	if err != nil {
		return checked, err
	}
	s, err := connect(ctx, cmd, append(ingestPermissions(historyDir), inference.Config{}.Permissions())...)
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
	_, err := fmt.Fprintf(out, "Kafka %v and Redis allow everything that ingest and infer do\n", c.Kafka)
	switch {
	case err != nil || !c.Bucket:
		return err
	case len(c.Serving) == 0:
		_, err = fmt.Fprintln(out, "the bucket is readable, and has no version yet")
		return err
	}
	return printShares(out, "the bucket is readable, and is serving", c.Serving)
}
