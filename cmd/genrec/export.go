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
		Usage:     "write all sequences to a file of events",
		ArgsUsage: "FILE",
		Description: `Writes .jsonl or .csv, each also with .gz or .zst, .parquet, or lines of JSON to the
standard output for "-". "genrec import" reads such files, and so does anything that reads
interaction events. Users who change meanwhile are written as they were before or
after. The file has what Redis holds: the newest events of each user, without context.

Example:   genrec export --redis redis:6379 events.jsonl.zst`,
		Flags: join(redisFlags(), []cli.Flag{jsonFlag()}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			path := cmd.Args().First()
			var wrong error
			switch {
			case cmd.Args().Len() != 1:
				wrong = errors.New("which one file is to be written? - is the standard output")
			case path == "-" && cmd.Bool("json"):
				wrong = errors.New("--json is for a report on the standard output, where - puts the events: choose one")
			}
			if err := settings.Join(wrong, needed(cmd, "redis", "where are the sequences?")); err != nil {
				return err
			}
			var s servers
			defer func() { err = errors.Join(err, s.close()) }()
			if err := s.openStore(ctx, cmd); err != nil {
				return err
			}
			began, shown := time.Now(), newProgress(os.Stderr)
			progress := func(so export.Counts) { shown.Reached("export", "users", so.Users) }
			if path == "-" {
				done, err := export.To(ctx, s.store, cmd.Root().Writer, "standard output.jsonl", progress)
				shown.Finish()
				if err == nil {
					slog.Info("exported", "users", done.Users, "events", done.Events, "skipped_users", done.Skipped, "took", time.Since(began).Round(time.Millisecond))
				}
				return err
			}
			done, err := export.ToFile(ctx, s.store, path, progress)
			shown.Finish()
			if err != nil {
				return err
			}
			return printExported(cmd, exportReport{path, done.Users, done.Events, done.Skipped, time.Since(began).Seconds()})
		},
	}
}

// exportReport is what export wrote.
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
