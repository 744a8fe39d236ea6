package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v3"

	"genrec/ingest"
	"genrec/pkg/stream"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:  "ingest",
		Usage: "move events from Kafka into the users' sequences in Redis",
		Description: `Reads the topic "interactions", appends to the sequences, and asks for new
recommendations on the topic "refreshes". Bad events go to "interactions.dead"
with the reason. Start as many as there are partitions.

Example:   genrec ingest --kafka kafka:9092 --redis redis:6379`,
		Flags: join(kafkaFlags(), redisFlags(), []cli.Flag{
			&cli.StringFlag{
				Name: "from", Value: stream.Earliest.String(),
				Usage:   "`START` of partitions that were never ingested: earliest, latest, or a time like 2026-03-01T12:00:00Z",
				Sources: cli.EnvVars("GENREC_FROM"),
			},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			start, err := stream.ParseStart(cmd.String("from"))
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			s, err := connect(ctx, cmd, ingest.Config{}.Access())
			if err != nil {
				return err
			}
			collectLess()
			i := newIngester(s, start)
			err = i.Run(ctx)
			stats := i.Stats()
			slog.Info("ingest stopped", "read", stats.Read, "appended", stats.Appended, "duplicates", stats.Duplicates, "dead", stats.Dead)
			return errors.Join(err, s.close())
		},
	}
}

// collectLess trades memory, which messages in hand bound, for a fifth of the processor time,
// unless GOGC says otherwise.
func collectLess() {
	const percent = 400
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func newIngester(s *servers, start stream.Start) *ingest.Ingester {
	return ingest.New(ingest.Config{Kafka: s.kafka, Start: start}, s.store)
}
