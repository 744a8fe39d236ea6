package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/inference"
	"genrec/inference/versions"
)

func inferCommand() *cli.Command {
	return &cli.Command{
		Name:  "infer",
		Usage: "regenerate a user's recommendations after each event",
		Description: `Reads the topic "refreshes" and writes one JSON value per user to Redis. It switches to a
newly promoted model version within a second, without a restart, and then refreshes users
who were active in the last week in the background, --refresh-rate of them per second.
Start one process per machine, or per GPU with CUDA_VISIBLE_DEVICES: the processes share
the work as one consumer group.

Example:   genrec infer --kafka kafka:9092 --redis redis:6379 --models /srv/models`,
		Flags: join(kafkaFlags(), redisFlags(), modelFlags(), inferenceFlags(), metricsFlag()),
		Action: service(func(ctx context.Context, cmd *cli.Command) (err error) {
			m, err := openModels(ctx, cmd)
			if err != nil {
				return err
			}
			o, err := observe(ctx, cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close(ctx)) }()
			s, err := connect(ctx, cmd, inference.Config{}.Permissions())
			if err != nil {
				return err
			}
			slog.Info("inference started", "device", m.device)
			w := newWorker(cmd, s, m, o, nil)
			o.observeWorker(s, w)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.topics.Run(groupCtx) })
			group.Go(func() error { return w.Run(groupCtx) })
			err = group.Wait()
			slog.Info("inference stopped", "stats", w.Stats())
			return errors.Join(err, s.close())
		}),
	}
}

func newWorker(cmd *cli.Command, s *servers, m models, o *observation, written func(inference.Written)) *inference.Worker {
	served := &versions.Versions{Registry: m.registry, Device: m.device, Ranker: m.ranker}
	o.metrics.MustRegister(served.Metrics()...)
	return inference.New(inference.Config{
		Kafka: s.kafka, LatencyTarget: cmd.Duration("latency-target"), RefreshRate: cmd.Int("refresh-rate"), Tracing: o.tracing,
		OnWritten: written,
	}, served, s.store)
}
