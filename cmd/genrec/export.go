package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/sessions/export"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "export all sequences to a file of events",
		ArgsUsage: "FILE",
		Description: `Writes JSON Lines (.jsonl) or a table (.csv), each also compressed (.gz, .zst), Parquet
(.parquet), or, for "-", JSON Lines to standard output. "genrec import" reads these files.
The file contains what Redis holds: the newest events of each user, without context. A
sequence that changes during the export is written as it was before or after the change.

Example:   genrec export --redis redis:6379 events.jsonl.zst`,
		Flags: join(redisFlags(), []cli.Flag{jsonFlag()}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			path := cmd.Args().First()
			var wrong error
			switch {
			case cmd.Args().Len() != 1:
				wrong = errors.New("name one file to write, or - for standard output")
			case path == "-" && cmd.Bool("json"):
				wrong = errors.New("--json prints a report to standard output, where - writes the events: choose one")
			}
			if err := settings.Join(wrong, required(cmd, "redis", "the Redis with the sequences")); err != nil {
				return err
			}
			var s servers
			defer func() { err = errors.Join(err, s.close()) }()
			if err := s.openStore(ctx, cmd); err != nil {
				return err
			}
			started, bar := time.Now(), newProgress(os.Stderr)
			progress := func(c export.Counts) { bar.Reached("export", "users", c.Users) }
			if path == "-" {
				done, err := export.To(ctx, s.store, cmd.Root().Writer, "standard output.jsonl", progress)
				bar.Finish()
				if err == nil {
					slog.Info("exported", "users", done.Users, "events", done.Events, "skipped_users", done.Skipped, "took", time.Since(started).Round(time.Millisecond))
				}
				return err
			}
			done, err := export.ToFile(ctx, s.store, path, progress)
			bar.Finish()
			if err != nil {
				return err
			}
			return printExported(cmd, exportReport{path, done.Users, done.Events, done.Skipped, time.Since(started).Seconds()})
		},
	}
}

// exportReport is the result of export.
type exportReport struct {
	File    string  `json:"file"`
	Users   int64   `json:"users"`
	Events  int64   `json:"events"`
	Skipped int64   `json:"skipped_users"` // whose sequence is unreadable
	Seconds float64 `json:"seconds"`
}

func printExported(cmd *cli.Command, e exportReport) error {
	return printResult(cmd, e, fmt.Sprintf("export users=%d events=%d skipped_users=%d seconds=%.1f", e.Users, e.Events, e.Skipped, e.Seconds))
}
