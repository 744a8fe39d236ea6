package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/cmd/genrec/settings"
	"genrec/ingest"
	"genrec/pkg/history"
	"genrec/pkg/stream"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:  "ingest",
		Usage: "append events from Kafka to the users' sequences in Redis",
		Description: `Reads the topic "interactions", appends valid events to the users' sequences, and requests
new recommendations on the topic "refreshes". Invalid events go to the dead-letter topic
"interactions.dead", with the reason. Up to as many processes as the topic has partitions
share the work.

With --history it also writes all events to Parquet files in a folder that all ingest
processes share, so that retrain can train on more than the newest events.

Example:   genrec ingest --kafka kafka:9092 --redis redis:6379 --history /srv/history`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), metricsFlag(), []cli.Flag{
			&cli.StringFlag{Name: "from", Value: stream.Earliest.String(), Usage: "`START` of partitions without a committed offset: earliest, latest, or a time such as 2026-03-01T12:00:00Z", Validator: parsable(stream.ParseStartOffset)},
		}),
		Action: service(func(ctx context.Context, cmd *cli.Command) (err error) {
			start, err := stream.ParseStartOffset(cmd.String("from"))
			if err != nil {
				return settings.Invalid(cmd, err, "from")
			}
			historyDir, err := openHistory(cmd)
			if err != nil {
				return err
			}
			o, err := observe(ctx, cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close(ctx)) }()
			s, err := connect(ctx, cmd, ingestPermissions(historyDir)...)
			if err != nil {
				return err
			}
			relaxGC()
			i := newIngester(s, start, o)
			o.observeIngester(s, i)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.topics.Run(groupCtx) })
			group.Go(func() error { return s.store.KeepFormat(groupCtx, slog.Default(), keepFormatEvery) })
			group.Go(func() error { return i.Run(groupCtx) })
			if historyDir != nil {
				group.Go(func() error { return newHistoryWriter(s, historyDir, start).Run(groupCtx) })
			}
			err = group.Wait()
			stats := i.Stats()
			slog.Info("ingest stopped", "read", stats.Read, "appended", stats.Appended, "duplicates", stats.Duplicates, "dead", stats.Dead)
			return errors.Join(err, s.close())
		}),
	}
}

// keepFormatEvery is the interval at which ingest checks that Redis still has the key that
// names its storage format.
const keepFormatEvery = 10 * time.Second

// relaxGC collects garbage less often, unless GOGC is set: it saves a fifth of the CPU time, and
// memory stays bounded because the messages in flight are.
func relaxGC() {
	const percent = 400
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func newIngester(s *servers, start stream.StartOffset, o *observation) *ingest.Ingester {
	return ingest.New(ingest.Config{Kafka: s.kafka, StartOffset: start, Tracing: o.tracing}, s.store)
}

// openHistory returns nil without --history.
func openHistory(cmd *cli.Command) (*history.Dir, error) {
	folder := cmd.String("history")
	if folder == "" {
		return nil, nil
	}
	historyDir, err := history.OpenDir(folder)
	return historyDir, settings.Invalid(cmd, err, "history")
}

func newHistoryWriter(s *servers, historyDir *history.Dir, start stream.StartOffset) *ingest.HistoryWriter {
	return ingest.NewHistoryWriter(ingest.HistoryConfig{Kafka: s.kafka, StartOffset: start}, historyDir)
}

// ingestPermissions are the permissions that ingest needs in Kafka; historyDir is nil without a
// history.
func ingestPermissions(historyDir *history.Dir) []stream.Permissions {
	permissions := []stream.Permissions{ingest.Config{}.Permissions()}
	if historyDir != nil {
		permissions = append(permissions, ingest.HistoryConfig{}.Permissions())
	}
	return permissions
}
