package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/ingest/backfill"
	"genrec/pkg/event"
	"genrec/pkg/stream"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put events from files into the users' sequences",
		ArgsUsage: "FILE...",
		Description: `Reads .jsonl, .csv with a line of column names, and .parquet, the first two also
with .gz or .zst: the fields of an event, event_id, user_id, item_id, timestamp and
perhaps type, context and rec_id. Events go straight into the sequences, beside the
live stream. An import can be repeated, because an event counts once.

Rows that are no events go to the topic "interactions.dead", or to --rejects. At the
end, each user is refreshed once, no faster than "infer" has time for.

Example:   genrec import --kafka kafka:9092 --redis redis:6379 events-2026-*.csv.gz`,
		Flags: join(clusterFlags(), redisFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "no-refresh", Usage: "do not ask for new recommendations: the next event of a user does"},
			&cli.StringFlag{Name: "rejects", Usage: "`FILE` that rows that are no events are added to, as lines of JSON, in place of the dead letters"},
			&cli.StringFlag{Name: "resume", Usage: "`FILE` that keeps how far the import is, so that the next run goes on there"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			if !cmd.Args().Present() {
				return errors.New("which files are to be imported?")
			}
			if cmd.String("redis") == "" {
				return errors.New("--redis is needed: where are the sequences?")
			}
			cfg := backfill.Config{Limits: event.DefaultLimits(), Progress: newProgress(os.Stderr), Logger: slog.Default()}
			if path := cmd.String("resume"); path != "" {
				if cfg.Place, err = backfill.OpenPlace(path); err != nil {
					return fmt.Errorf("--resume: %w", err)
				}
			}
			closeKafka, err := importOutputs(cmd, &cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeKafka()) }()
			var s servers
			defer func() { err = errors.Join(err, s.close()) }()
			if err := s.openStore(ctx, cmd); err != nil {
				return err
			}
			began := time.Now()
			done, err := backfill.Run(ctx, cfg, s.store, cmd.Args().Slice())
			took := time.Since(began)
			fmt.Fprintf(cmd.Root().Writer, "import rows=%d skipped=%d appended=%d known=%d refused=%d refreshed=%d seconds=%.1f rows_per_s=%.0f\n",
				done.Rows, done.Skipped, done.Appended, done.Known, done.Refused, done.Users, took.Seconds(), float64(done.Rows)/took.Seconds())
			return err
		},
	}
}

// importOutputs sets where refused rows and refreshes go.
func importOutputs(cmd *cli.Command, cfg *backfill.Config) (closeAll func() error, err error) {
	rejects, refresh := cmd.String("rejects"), !cmd.Bool("no-refresh")
	closeAll = func() error { return nil }
	if rejects != "" {
		file, err := os.OpenFile(rejects, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("--rejects: %w", err)
		}
		lines := json.NewEncoder(file)
		cfg.Refuse = func(_ context.Context, rows []backfill.Refused) error {
			for _, r := range rows {
				if err := lines.Encode(rejectLine{r.File, r.Line, r.Reason, r.Detail, string(r.Value)}); err != nil {
					return fmt.Errorf("write a rejected row: %w", err)
				}
			}
			return nil
		}
		closeAll = file.Close
		if !refresh {
			return closeAll, nil
		}
	}
	kafkaCluster, err := givenKafka(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w (none with --no-refresh and --rejects)", err), closeAll())
	}
	topics := stream.DefaultTopics()
	if rejects == "" {
		letters := stream.NewDeadLetterWriter(kafkaCluster, topics.DeadLetters)
		cfg.Refuse = func(ctx context.Context, rows []backfill.Refused) error {
			messages := make([]kafka.Message, len(rows))
			for i, r := range rows {
				row := kafka.Message{Topic: "file:" + r.File, Offset: r.Line, Value: r.Value, Time: time.Now()}
				messages[i] = stream.DeadLetter(row, r.Reason, r.Detail)
			}
			return stream.Publish(ctx, slog.Default(), letters, messages...)
		}
		closeAll = letters.Close
	}
	if refresh {
		refreshes := stream.NewWriter(kafkaCluster, topics.Refreshes)
		refresher := &backfill.Refresher{
			Lag: func(ctx context.Context) (int64, error) {
				return stream.Lag(ctx, kafkaCluster, inference.DefaultGroup, topics.Refreshes)
			},
			Publish: func(ctx context.Context, messages ...kafka.Message) error {
				return stream.Publish(ctx, slog.Default(), refreshes, messages...)
			},
			Logger: slog.Default(),
		}
		cfg.Refresh = refresher.Refresh
		before := closeAll
		closeAll = func() error { return errors.Join(before(), refreshes.Close()) }
	}
	return closeAll, nil
}

// rejectLine is a row in the file of --rejects.
type rejectLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Row    string `json:"row"`
}
