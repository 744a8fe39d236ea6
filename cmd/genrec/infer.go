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
		Usage: "regenerate recommendations after each event and write them to Redis",
		Description: `Reads the topic "refreshes" and writes one JSON value per user. A new version in
the models folder is picked up within a second, without a restart; then users who did
something in the last week get new recommendations, --refresh-rate of them a second. Start one per
machine, or per GPU with CUDA_VISIBLE_DEVICES: they share the work as one consumer
group.

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
			slog.Info("inference starts", "device", m.device)
			w := newWorker(cmd, s, m, o, nil)
			o.infers(s, w)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.keeper.Run(groupCtx) })
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
