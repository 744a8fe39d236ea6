package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/inference"
	"genrec/pkg/history"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/retrain"
	"genrec/retrain/gate"
)

func allCommand() *cli.Command {
	return &cli.Command{
		Name:  "all",
		Usage: "ingest, infer and retrain in one process",
		Description: `For trying out and for one machine. Without --kafka and --redis it starts both
inside the process and says where they are.

Example:   genrec all --kafka kafka:9092 --redis redis:6379 --retrain-every 24h`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), modelFlags(), inferenceFlags(), retrainFlags(), metricsFlag(), []cli.Flag{
			&cli.DurationFlag{
				Name: "retrain-every", Value: 24 * time.Hour, Usage: "time from one training to the next, the first after a minute if there is no model; 0 is never",
				Sources: cli.EnvVars("GENREC_RETRAIN_EVERY"),
			},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			training, m, err := openTraining(ctx, cmd)
			if err != nil {
				return err
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
			s, err := connect(ctx, cmd, append(ingestAccess(past), inference.Config{}.Access())...)
			if err != nil {
				return err
			}
			i, w, watch := newIngester(s, stream.Earliest, o), newWorker(cmd, s, m, o), retrain.NewWatch(training.Progress)
			training.Progress = watch
			o.ingests(s, i)
			o.infers(s, w)
			o.metrics.MustRegister(watch.Metrics()...)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return i.Run(groupCtx) })
			if past != nil {
				group.Go(func() error { return newArchiver(s, past, stream.Earliest).Run(groupCtx) })
			}
			group.Go(func() error { return w.Run(groupCtx) })
			if every := cmd.Duration("retrain-every"); every > 0 {
				group.Go(func() error {
					retrainRegularly(groupCtx, training, watch, *s, past, m, every)
					return nil
				})
			}
			return errors.Join(group.Wait(), s.close())
		},
	}
}

// firstTraining is how long a system without a model gathers events before it
// looks whether there is something to train on.
const firstTraining = time.Minute

// retrainRegularly outlives a training that fails: the current model goes on.
func retrainRegularly(ctx context.Context, training retrain.Config, watch *retrain.Watch, s servers, past *history.Archive, m models, every time.Duration) {
	wait := every
	if _, err := m.registry.Current(ctx); errors.Is(err, registry.ErrNoVersion) {
		wait = min(firstTraining, every)
	}
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = every
		report, err := retrainOnce(ctx, training, s, past, m)
		if ctx.Err() == nil {
			watch.Ended(report, err)
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, retrain.ErrNoData):
			wait = min(firstTraining, every)
			slog.Info("nothing to train on yet", "next_try_in", wait)
		case err != nil:
			slog.Error("retraining failed, the current model goes on", "err", err)
		default:
			if !report.Gate.Promoted && report.Gate.Rival == gate.Popularity {
				wait = min(firstTraining, every) // nothing is served yet
			}
			slog.Info("trained a model version", "version", report.Version, "promoted", report.Gate.Promoted, "hr@10", report.LeaveOneOut.HR10)
		}
	}
}
