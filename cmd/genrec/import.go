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
		Usage:     "put events from files into the users' sequences",
		ArgsUsage: "FILE|FOLDER...",
		Description: `Reads .jsonl, .csv and .tsv with a line of column names, and .parquet, all but the
last also with .gz or .zst, and folders of them: user_id, item_id, timestamp and perhaps
event_id, type, context and rec_id. --column says what else they are called. Events go
straight into the sequences, beside the live stream. An import can be repeated, because
an event counts once. With --history, they go into the history, too, which "retrain"
reads: sequences have room for the newest 128 of a user.

Fields inside of JSON are named by their path; an array of events becomes one event for
each element. Times are understood in most unambiguous forms, others by --time-format.

It also reads RecBole's atomic files (.inter), MovieLens (ratings.dat, u.data,
ratings.csv) and Amazon's reviews and ratings (.jsonl, .json, .csv), told by name and
first line, or by --format. Their events get ids that follow from what a row says.

Rows that are no events go to the topic "interactions.dead", or to --rejects; if all
rows are, the import fails. At the end, each user is refreshed once, no faster than "infer" has time for.

Examples:  genrec import --kafka kafka:9092 --redis redis:6379 events-2026-*.csv.gz
           genrec import --dry-run ml-1m/ratings.dat
           genrec import --dry-run --column user_id=customer --column item_id=sku orders.csv
           genrec import --dry-run --column user_id=session --column item_id=events.aid \
              --column timestamp=events.ts sessions.jsonl
           genrec import --dry-run --no-header --column user_id=1 --column timestamp=2 \
              --column item_id=3 --time-format "%d/%m/%Y %H:%M" clicks.csv`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), []cli.Flag{
			&cli.StringFlag{Name: "format", Value: string(importer.Auto), Usage: "of the files: events, recbole, movielens, amazon, or auto, by name and first line", Validator: parsable(importer.ParseFormat)},
			&settings.LinesFlag{Name: "column", Usage: "`FIELD=NAME`: what a field of an event is called in the files, such as user_id=customer; can be repeated", Validator: parsable(importer.ParseColumns)},
			&settings.LinesFlag{Name: "event-type", Usage: "`TYPE=WORD`: what a type of event is called in the files, such as add_to_cart=cart; can be repeated", Validator: parsable(importer.ParseTypes)},
			&cli.BoolFlag{Name: "no-header", Usage: "tables of text have no line of column names: --column calls the columns 1, 2, 3, ..."},
			&settings.LinesFlag{Name: "time-format", Usage: "`FORMAT` of times, as strftime has it, such as \"%d/%m/%Y %H:%M:%S\" or \"%m/%d/%Y %I:%M %p\"; can be repeated", Validator: parsable(importer.ParseTimeFormats)},
			&cli.BoolFlag{Name: "dry-run", Usage: "read everything, write nothing but --rejects, and report; needs neither Kafka nor Redis"},
			jsonFlag(),
			&cli.BoolFlag{Name: "no-refresh", Usage: "do not ask for new recommendations: the next event of a user does"},
			&cli.StringFlag{Name: "rejects", Usage: "`FILE` that rows that are no events are added to, as lines of JSON, in place of the dead letters"},
			&cli.StringFlag{Name: "resume", Usage: "`FILE` that keeps how far the import is, so that the next run goes on there"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			if err := checkImport(cmd); err != nil {
				return err
			}
			dry := cmd.Bool("dry-run")
			shown := newProgress(os.Stderr)
			shown.unit = "MiB"
			cfg := importer.Config{Limits: event.DefaultLimits(), Progress: shown, Logger: slog.Default()}
			if cfg.Format, err = importer.ParseFormat(cmd.String("format")); err != nil {
				return settings.Wrong(cmd, err, "format")
			}
			if cfg.Mapping.Columns, err = importer.ParseColumns(cmd.StringSlice("column")); err != nil {
				return settings.Wrong(cmd, err, "column")
			}
			if cfg.Mapping.Types, err = importer.ParseTypes(cmd.StringSlice("event-type")); err != nil {
				return settings.Wrong(cmd, err, "event-type")
			}
			if cfg.Mapping.TimeFormats, err = importer.ParseTimeFormats(cmd.StringSlice("time-format")); err != nil {
				return settings.Wrong(cmd, err, "time-format")
			}
			cfg.Mapping.NoHeader = cmd.Bool("no-header")
			if path := cmd.String("resume"); path != "" {
				if cfg.Resume, err = importer.OpenResumeFile(path); err != nil {
					return settings.Wrong(cmd, err, "resume")
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
				past, err := openHistory(cmd)
				if err != nil {
					return err
				}
				if past != nil {
					cfg.History = &importer.History{Dir: past, Erasures: s.store}
				}
			}
			done := importer.Summary{DryRun: dry}
			cfg.Reject = done.Watch(cfg.Reject)
			began := time.Now()
			done.Result, err = importer.Run(ctx, cfg, store, cmd.Args().Slice())
			done.Seconds = time.Since(began).Seconds()
			if cmd.Bool("json") {
				return errors.Join(err, json.NewEncoder(cmd.Root().Writer).Encode(&done))
			}
			done.Print(cmd.Root().Writer)
			return err
		},
	}
}

// checkImport looks whether all is given that an import needs.
func checkImport(cmd *cli.Command) error {
	var files, redis, kafka, resume error
	dry := cmd.Bool("dry-run")
	if !cmd.Args().Present() {
		files = errors.New("which files are to be imported?")
	}
	if !dry {
		redis = needed(cmd, "redis", "where are the sequences?")
	}
	if needsKafka(cmd) {
		if _, kafka = kafkaCluster(cmd); kafka == nil && len(cmd.StringSlice("kafka")) == 0 {
			kafka = errors.New("--kafka is needed, for dead letters and refreshes: none with --no-refresh and --rejects")
		}
	}
	if dry && cmd.String("resume") != "" {
		resume = errors.New("--resume keeps what is imported, and --dry-run imports nothing: choose one")
	}
	return settings.Join(files, redis, kafka, resume)
}

// needsKafka says whether an import has something to write there.
func needsKafka(cmd *cli.Command) bool {
	return !cmd.Bool("dry-run") && (cmd.String("rejects") == "" || !cmd.Bool("no-refresh"))
}

// importOutputs sets where refused rows and refreshes go.
func importOutputs(ctx context.Context, cmd *cli.Command, cfg *importer.Config) (closeAll func() error, err error) {
	rejects, refresh, dry := cmd.String("rejects"), !cmd.Bool("no-refresh"), cmd.Bool("dry-run")
	closeAll = func() error { return nil }
	switch {
	case rejects != "":
		if cfg.Reject, closeAll, err = importer.RejectsFile(rejects); err != nil {
			return nil, settings.Wrong(cmd, err, "rejects")
		}
	case dry:
		cfg.Reject = func(context.Context, []importer.RejectedRow) error { return nil }
	}
	if dry { // users are counted, but none is refreshed
		cfg.Refresh = func(context.Context, func() (string, error)) error { return nil }
	}
	if !needsKafka(cmd) {
		return closeAll, nil
	}
	kafkaCluster, err := givenKafka(cmd)
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
