package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/inference"
	"genrec/pkg/stream"
	"genrec/retrain"
	"genrec/serve/playground"
)

// everyNight is the default schedule of "all".
const everyNight = "0 3 * * *"

func allCommand() *cli.Command {
	return &cli.Command{
		Name:  "all",
		Usage: "run ingest, infer, retrain and a web page in one process",
		Description: `For evaluation, and for production on one machine. Without --kafka and --redis it starts
embedded servers and logs their addresses. The web page at --page shows what happens;
visitors can act as a user, click items and start a training. The page's server also has
the HTTP API of "genrec serve".

Example:   genrec all --kafka kafka:9092 --redis redis:6379 --schedule "0 3 * * *"`,
		Flags: join(kafkaFlags(), redisFlags(), historyFlag(), modelFlags(), inferenceFlags(), retrainFlags(), metricsFlag(), pageFlag(`empty: no page`), []cli.Flag{
			scheduleFlag(everyNight, "when to train: a cron `EXPRESSION` as for retrain, or never; without a model, the first training starts after a minute"),
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
			historyDir, err := openHistory(cmd)
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
			s, err := connect(ctx, cmd, append(ingestPermissions(historyDir), inference.Config{}.Permissions())...)
			if err != nil {
				return err
			}
			progress := retrain.NewProgressMetrics(training.Progress)
			train := func(ctx context.Context) (retrain.Report, error) {
				return trainLatest(ctx, training, *s, historyDir, m)
			}
			page, client := newPage(cmd, s, func(ctx context.Context) (string, error) {
				report, err := train(ctx)
				progress.RecordRun(report, err)
				return report.Outcome(), err
			})
			training.Progress, training.Erasures = page.Progress(progress), s.store
			i, w := newIngester(s, stream.Earliest, o), newWorker(cmd, s, m, o, func(w inference.Written) { page.Written(playground.Written(w)) })
			o.observeIngester(s, i)
			o.observeWorker(s, w)
			o.metrics.MustRegister(progress.Metrics()...)
			group, groupCtx := errgroup.WithContext(ctx)
			group.Go(func() error { return s.topics.Run(groupCtx) })
			group.Go(func() error { return i.Run(groupCtx) })
			if historyDir != nil {
				group.Go(func() error { return newHistoryWriter(s, historyDir, stream.Earliest).Run(groupCtx) })
			}
			group.Go(func() error { return w.Run(groupCtx) })
			group.Go(func() error { return servePage(groupCtx, page, client, s, listener, o) })
			if times != nil {
				group.Go(func() error {
					retrain.Scheduler{
						Config: training, Models: m.registry, Train: train, Serialize: page.Train, OnEnd: progress.RecordRun,
					}.Run(groupCtx, *times)
					return nil
				})
			}
			return errors.Join(group.Wait(), s.close())
		}),
	}
}
