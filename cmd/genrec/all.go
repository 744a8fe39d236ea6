package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/inference"
	"genrec/pkg/stream"
	"genrec/retrain"
)

// everyNight is when "all" trains if nobody says when.
const everyNight = "0 3 * * *"

func allCommand() *cli.Command {
	return &cli.Command{
		Name:  "all",
		Usage: "ingest, infer and retrain in one process",
		Description: `For trying out and for one machine. Without --kafka and --redis it starts both
inside the process and says where they are. A page at --page shows what happens, and lets
a person become a user, click items and train; what it answers with, genrec serve does.

Example:   genrec all --kafka kafka:9092 --redis redis:6379 --schedule "0 3 * * *"`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), modelFlags(), inferenceFlags(), retrainFlags(), metricsFlag(), pageFlag(`empty: none`), []cli.Flag{
			scheduleFlag(everyNight, "when to train: as of retrain, or never; the first time after a minute if there is no model"),
		}),
		Action: service(func(ctx context.Context, cmd *cli.Command) (err error) {
			times, err := readSchedule(cmd, everyNight)
			if err != nil {
				return err
			}
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
			listener, err := listenForPage(ctx, cmd, false)
			if err != nil {
				return err
			}
			s, err := connect(ctx, cmd, append(ingestAccess(past), inference.Config{}.Permissions())...)
			if err != nil {
				return err
			}
			watch := retrain.NewWatch(training.Progress)
			train := func(ctx context.Context) (retrain.Report, error) { return trainLatest(ctx, training, *s, past, m) }
			page, client := newPage(cmd, s, func(ctx context.Context) (string, error) {
				report, err := train(ctx)
				watch.Ended(report, err)
				return report.Outcome(), err
			})
			training.Progress, training.Erasures = page.Progress(watch), s.store
			i, w := newIngester(s, stream.Earliest, o), newWorker(cmd, s, m, o, page.Written)
			o.ingests(s, i)
			o.infers(s, w)
			o.metrics.MustRegister(watch.Metrics()...)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.keeper.Run(groupCtx) })
			group.Go(func() error { return i.Run(groupCtx) })
			if past != nil {
				group.Go(func() error { return newHistoryWriter(s, past, stream.Earliest).Run(groupCtx) })
			}
			group.Go(func() error { return w.Run(groupCtx) })
			group.Go(func() error { return servePage(groupCtx, page, client, s, listener, o) })
			if times != nil {
				group.Go(func() error {
					retrain.Scheduled{
						Config: training, Models: m.registry, Train: train, Serialize: page.Train, Ended: watch.Ended,
					}.Run(groupCtx, *times)
					return nil
				})
			}
			return errors.Join(group.Wait(), s.close())
		}),
	}
}
