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
		Usage: "move events from Kafka into the users' sequences in Redis",
		Description: `Reads the topic "interactions", appends to the sequences, and asks for new
recommendations on the topic "refreshes". Bad events go to "interactions.dead"
with the reason. Start as many as there are partitions.

With --history it also keeps all events as Parquet files in a folder that all
ingest processes share, for retrain to learn from more than the newest ones.

Example:   genrec ingest --kafka kafka:9092 --redis redis:6379 --history /srv/history`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), metricsFlag(), []cli.Flag{
			&cli.StringFlag{Name: "from", Value: stream.Earliest.String(), Usage: "`START` of partitions that were never ingested: earliest, latest, or a time like 2026-03-01T12:00:00Z", Validator: parsable(stream.ParseStartOffset)},
		}),
		Action: service(func(ctx context.Context, cmd *cli.Command) (err error) {
			start, err := stream.ParseStartOffset(cmd.String("from"))
			if err != nil {
				return settings.Wrong(cmd, err, "from")
			}
			past, err := openHistory(cmd)
			if err != nil {
				return err
			}
			o, err := observe(ctx, cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close(ctx)) }()
			s, err := connect(ctx, cmd, ingestAccess(past)...)
			if err != nil {
				return err
			}
			collectLess()
			i := newIngester(s, start, o)
			o.ingests(s, i)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.keeper.Run(groupCtx) })
			group.Go(func() error { return s.store.KeepFormat(groupCtx, slog.Default(), keepFormatEvery) })
			group.Go(func() error { return i.Run(groupCtx) })
			if past != nil {
				group.Go(func() error { return newHistoryWriter(s, past, start).Run(groupCtx) })
			}
			err = group.Wait()
			stats := i.Stats()
			slog.Info("ingest stopped", "read", stats.Read, "appended", stats.Appended, "duplicates", stats.Duplicates, "dead", stats.Dead)
			return errors.Join(err, s.close())
		}),
	}
}

// keepFormatEvery is how often ingest looks whether Redis has lost the format of what it writes.
const keepFormatEvery = 10 * time.Second

// collectLess trades memory, which messages in hand bound, for a fifth of the processor time,
// unless GOGC says otherwise.
func collectLess() {
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
	past, err := history.OpenDir(folder)
	return past, settings.Wrong(cmd, err, "history")
}

func newHistoryWriter(s *servers, past *history.Dir, start stream.StartOffset) *ingest.HistoryWriter {
	return ingest.NewHistoryWriter(ingest.HistoryConfig{Kafka: s.kafka, StartOffset: start}, past)
}

// ingestAccess is what ingest does in Kafka, with a history or with none.
func ingestAccess(past *history.Dir) []stream.Permissions {
	access := []stream.Permissions{ingest.Config{}.Permissions()}
	if past != nil {
		access = append(access, ingest.HistoryConfig{}.Permissions())
	}
	return access
}
