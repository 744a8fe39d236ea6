package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/inference"
	"genrec/ingest/importer"
	"genrec/pkg/event"
	"genrec/pkg/stream"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "import historical events from files into the users' sequences",
		ArgsUsage: "FILE|FOLDER...",
		Description: `Reads JSON Lines (.jsonl), tables with column names (.csv, .tsv), Parquet (.parquet), all
but the last also compressed (.gz, .zst), and folders of such files. The columns are
user_id, item_id, timestamp and, optionally, event_id, type, context and rec_id; --column
maps other names to them. Events are appended to the sequences in Redis, while the live
stream goes on. Importing again changes nothing, because events are deduplicated. A
sequence keeps the newest 128 events of a user; with --history, all events are also
written to the history, for "retrain".

A field inside a JSON object is named by its path, and an array of events becomes one event
per element. Unambiguous time formats are recognized; for others, see --time-format.

It also reads RecBole's atomic files (.inter), MovieLens (ratings.dat, u.data,
ratings.csv) and Amazon's reviews and ratings (.jsonl, .json, .csv), which it recognizes
by file name and first line, or by --format. Event ids are derived from the rows.

Rows that are not valid events go to the dead-letter topic "interactions.dead", or to
--rejects. If no row is valid, the import fails. At the end, each imported user is
refreshed once, no faster than "infer" can keep up.

Examples:  genrec import --kafka kafka:9092 --redis redis:6379 events-2026-*.csv.gz
           genrec import --dry-run ml-1m/ratings.dat
           genrec import --dry-run --column user_id=customer --column item_id=sku orders.csv
           genrec import --dry-run --column user_id=session --column item_id=events.aid \
              --column timestamp=events.ts sessions.jsonl
           genrec import --dry-run --no-header --column user_id=1 --column timestamp=2 \
              --column item_id=3 --time-format "%d/%m/%Y %H:%M" clicks.csv`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), []cli.Flag{
			&cli.StringFlag{Name: "format", Value: string(importer.Auto), Usage: "`FORMAT` of the files: events, recbole, movielens, amazon, or auto (by file name and first line)", Validator: parsable(importer.ParseFormat)},
			&settings.LinesFlag{Name: "column", Usage: "`FIELD=NAME` of a column: an event field and its name in the files, such as user_id=customer; can be repeated", Validator: parsable(importer.ParseColumns)},
			&settings.LinesFlag{Name: "event-type", Usage: "`TYPE=WORD`: an event type and its name in the files, such as add_to_cart=cart; can be repeated", Validator: parsable(importer.ParseTypes)},
			&cli.BoolFlag{Name: "no-header", Usage: "the tables have no line of column names; --column then refers to columns as 1, 2, 3, ..."},
			&settings.LinesFlag{Name: "time-format", Usage: "strftime `FORMAT` of times, such as \"%d/%m/%Y %H:%M:%S\" or \"%m/%d/%Y %I:%M %p\"; can be repeated", Validator: parsable(importer.ParseTimeFormats)},
			&cli.BoolFlag{Name: "dry-run", Usage: "read and validate everything, but write nothing except --rejects; requires neither Kafka nor Redis"},
			jsonFlag(),
			&cli.BoolFlag{Name: "no-refresh", Usage: "do not refresh the users' recommendations: wait for their next events"},
			&cli.StringFlag{Name: "rejects", Usage: "`FILE` to which invalid rows are appended as JSON lines, instead of the dead-letter topic"},
			&cli.StringFlag{Name: "resume", Usage: "`FILE` for the progress of the import, from which the next run resumes"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			if err := checkImport(cmd); err != nil {
				return err
			}
			dry := cmd.Bool("dry-run")
			bar := newProgress(os.Stderr)
			bar.unit = "MiB"
			cfg := importer.Config{Limits: event.DefaultLimits(), Progress: bar, Logger: slog.Default()}
			if cfg.Format, err = importer.ParseFormat(cmd.String("format")); err != nil {
				return settings.Invalid(cmd, err, "format")
			}
			if cfg.Mapping.Columns, err = importer.ParseColumns(cmd.StringSlice("column")); err != nil {
				return settings.Invalid(cmd, err, "column")
			}
			if cfg.Mapping.Types, err = importer.ParseTypes(cmd.StringSlice("event-type")); err != nil {
				return settings.Invalid(cmd, err, "event-type")
			}
			if cfg.Mapping.TimeFormats, err = importer.ParseTimeFormats(cmd.StringSlice("time-format")); err != nil {
				return settings.Invalid(cmd, err, "time-format")
			}
			cfg.Mapping.NoHeader = cmd.Bool("no-header")
			if path := cmd.String("resume"); path != "" {
				if cfg.Resume, err = importer.OpenResumeFile(path); err != nil {
					return settings.Invalid(cmd, err, "resume")
				}
			}
			closeOutputs, err := importOutputs(ctx, cmd, &cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeOutputs()) }()
			var store importer.Sessions = importer.DiscardSessions{}
			if !dry {
				var s servers
				defer func() { err = errors.Join(err, s.close()) }()
				if err := s.openStore(ctx, cmd); err != nil {
					return err
				}
				if err := s.store.ClaimFormat(ctx); err != nil {
					return err
				}
				store = s.store
				historyDir, err := openHistory(cmd)
				if err != nil {
					return err
				}
				if historyDir != nil {
					cfg.History = &importer.History{Dir: historyDir, Erasures: s.store}
				}
			}
			summary := importer.Summary{DryRun: dry}
			cfg.Reject = summary.Watch(cfg.Reject)
			started := time.Now()
			summary.Result, err = importer.Run(ctx, cfg, store, cmd.Args().Slice())
			summary.Seconds = time.Since(started).Seconds()
			if cmd.Bool("json") {
				return errors.Join(err, json.NewEncoder(cmd.Root().Writer).Encode(&summary))
			}
			summary.Print(cmd.Root().Writer)
			return err
		},
	}
}

// checkImport reports everything that an import lacks.
func checkImport(cmd *cli.Command) error {
	var files, redis, kafka, resume error
	dry := cmd.Bool("dry-run")
	if !cmd.Args().Present() {
		files = errors.New("name the files to import")
	}
	if !dry {
		redis = required(cmd, "redis", "the Redis with the sequences")
	}
	if needsKafka(cmd) {
		if _, kafka = kafkaCluster(cmd); kafka == nil && len(cmd.StringSlice("kafka")) == 0 {
			kafka = errors.New("--kafka is required, for dead letters and refreshes, unless both --no-refresh and --rejects are given")
		}
	}
	if dry && cmd.String("resume") != "" {
		resume = errors.New("--resume stores what is imported, and --dry-run imports nothing: choose one")
	}
	return settings.Join(files, redis, kafka, resume)
}

// needsKafka is true if the import writes dead letters or refreshes.
func needsKafka(cmd *cli.Command) bool {
	return !cmd.Bool("dry-run") && (cmd.String("rejects") == "" || !cmd.Bool("no-refresh"))
}

// importOutputs sets where invalid rows and refreshes go.
func importOutputs(ctx context.Context, cmd *cli.Command, cfg *importer.Config) (closeAll func() error, err error) {
	rejects, refresh, dry := cmd.String("rejects"), !cmd.Bool("no-refresh"), cmd.Bool("dry-run")
	closeAll = func() error { return nil }
	switch {
	case rejects != "":
		if cfg.Reject, closeAll, err = importer.RejectsFile(rejects); err != nil {
			return nil, settings.Invalid(cmd, err, "rejects")
		}
	case dry:
		cfg.Reject = func(context.Context, []importer.RejectedRow) error { return nil }
	}
	if dry { // count the users, but refresh none
		cfg.Refresh = func(context.Context, func() (string, error)) error { return nil }
	}
	if !needsKafka(cmd) {
		return closeAll, nil
	}
	kafkaCluster, err := requiredKafka(cmd)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	topics := stream.DefaultTopics()
	if err := stream.AwaitTopics(ctx, slog.Default(), kafkaCluster, topics, cmd.Int("partitions")); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	if rejects == "" {
		letters := stream.NewDeadLetterWriter(kafkaCluster, topics.DeadLetters)
		cfg.Reject = func(ctx context.Context, rows []importer.RejectedRow) error {
			messages := make([]kafka.Message, len(rows))
			for i, r := range rows {
				row := kafka.Message{Topic: "file:" + r.File, Offset: r.Line, Value: r.Value, Time: time.Now()}
				messages[i] = stream.NewDeadLetter(row, r.Reason, r.Detail)
			}
			return stream.Publish(ctx, slog.Default(), letters, messages...)
		}
		closeAll = letters.Close
	}
	if refresh {
		refreshes := stream.NewWriter(kafkaCluster, topics.Refreshes)
		refresher := &importer.Refresher{
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
