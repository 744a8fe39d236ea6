package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/urfave/cli/v3"

	"genrec/ingest"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:  "ingest",
		Usage: "move events from Kafka into the users' sequences in Redis",
		Description: `Reads the topic "interactions", appends to the sequences, and asks for new
recommendations on the topic "refreshes". Bad events go to "interactions.dead"
with the reason. Start as many as there are partitions.

Example:   genrec ingest --kafka kafka:9092 --redis redis:6379`,
		Flags: join(kafkaFlags(), redisFlags()),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			s, err := connect(ctx, cmd)
			if err != nil {
				return err
			}
			i := newIngester(s)
			err = i.Run(ctx)
			stats := i.Stats()
			slog.Info("ingest stopped", "read", stats.Read, "appended", stats.Appended, "duplicates", stats.Duplicates, "dead", stats.Dead)
			return errors.Join(err, s.close())
		},
	}
}

func newIngester(s *servers) *ingest.Ingester {
	return ingest.New(ingest.Config{Kafka: s.kafka}, s.store)
}
