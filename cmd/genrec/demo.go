package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"genrec/cmd/genrec/demo"
	"genrec/cmd/genrec/demo/shop"
	"genrec/cmd/genrec/settings"
	"genrec/inference"
	"genrec/inference/versions"
	"genrec/ingest"
	"genrec/model"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/retrain"
)

// Sizes of the demo, which should take a few minutes on two cores.
const (
	liveShare           = 0.15
	maxLive             = 16_000
	examplesPerTraining = 250_000
	maxEpochs           = 6
	demoValidationUsers = 500   // users
	demoEvaluationUsers = 2_000 // users
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "replay a dataset through Kafka, with live recommendations and a retraining",
		Description: `Replays a dataset through Kafka in time order: trains a first model on the older events,
regenerates recommendations after each of the newer events, and retrains once while the
stream goes on. At the end it prints the hit rate of the recommendations that a user had
before each event, next to that of the most popular items, and the time from an event to
new recommendations.

The web page at --page shows what happens; visitors can act as a user, click items and
start a training. On a terminal the demo keeps running after the replay, until Ctrl-C;
elsewhere, or with --stay=false, it ends by itself.

The dataset is a generated shop, or a file (--data) of lines "user item item item ...",
items in chronological order.

Example:   genrec demo --data Beauty.txt`,
		Flags: join(kafkaFlags(), redisFlags(), pageFlag(`empty: no page; if the default port is in use, a free one is chosen`), []cli.Flag{
			&cli.BoolFlag{
				Name: "stay", Value: term.IsTerminal(int(os.Stdout.Fd())), DefaultText: "on a terminal",
				Usage: "keep running after the replay, until Ctrl-C",
			},
			jsonFlag(),
			&cli.StringFlag{Name: "data", Usage: "dataset `FILE` to replay; default: a generated shop"},
			&cli.FloatFlag{Name: "rate", Value: 50, Usage: "live `EVENTS` per second", Validator: positive[float64]},
			&cli.IntFlag{Name: "live", Usage: fmt.Sprintf("`NUMBER` of live events; 0: %.0f %% of the data, at most %d", 100*liveShare, maxLive), Validator: atLeast(0)},
			&cli.Int64Flag{Name: "seed", Value: 1, Usage: "random `SEED` of the data and of the models"},
			deviceFlag(),
		}),
		Action: runDemo,
	}
}

func runDemo(ctx context.Context, cmd *cli.Command) (err error) {
	events, items, err := demoEvents(cmd)
	device, refused := chosenDevice(cmd)
	if err := settings.Join(settings.Invalid(cmd, err, "data"), refused); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "genrec-demo-")
	if err != nil {
		return fmt.Errorf("create a folder for the models: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	models, err := registry.Open(folder)
	if err != nil {
		return err
	}
	listener, err := listenForPage(ctx, cmd, true)
	if err != nil {
		return err
	}
	s, err := connect(ctx, cmd, ingest.Config{}.Permissions(), inference.Config{}.Permissions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	live := cmd.Int("live")
	if live == 0 {
		live = min(maxLive, int(liveShare*float64(len(events))))
	}
	served := &versions.Versions{Registry: models, Device: device, Ranker: model.DefaultRankerConfig()}
	if err := shop.WriteTitles(ctx, s.redis, cmd.String("prefix"), items); err != nil {
		return err
	}
	training, background := demoTraining(cmd, device, events), retrain.Progress(newLoggedProgress())
	page, client := newPage(cmd, s, func(ctx context.Context) (string, error) {
		config := training
		config.Progress = background
		return demo.Train(ctx, config, s.store, models)
	})
	training.Progress, background = page.Progress(training.Progress), page.Progress(background)
	out := narration(cmd)
	if listener != nil {
		fmt.Fprintf(out, "watch it and try it yourself at %s\n", pageURL(listener))
	}
	var printed error
	group, groupCtx := errgroup.WithContext(ctx)
	groupCtx, stop := context.WithCancel(groupCtx)
	group.Go(func() error { return servePage(groupCtx, page, client, s, listener, nil) })
	group.Go(func() error {
		defer stop()
		return demo.Run(groupCtx, demo.Config{
			Events: events, Live: live, Rate: cmd.Float("rate"),
			Kafka: s.kafka, Store: s.store, Models: models, Serve: served,
			Retrain: training, Background: background, Out: out,
			Page: page, Stay: listener != nil && cmd.Bool("stay"),
			OnSummary: func(summary demo.Summary) {
				if listener != nil && cmd.Bool("stay") {
					fmt.Fprintf(out, "  %s stays available until Ctrl-C\n", pageURL(listener))
				}
				fmt.Fprintln(out, "  next: genrec all --help, and README.md for your own Kafka and Redis")
				printed = printResult(cmd, summary, fmt.Sprint(summary))
			},
		})
	})
	return errors.Join(group.Wait(), printed)
}

// demoEvents returns the events to replay and, of the generated shop, its items.
func demoEvents(cmd *cli.Command) (events []event.Event, items []shop.Item, err error) {
	path, seed, end := cmd.String("data"), cmd.Int64("seed"), time.Now().UTC().Truncate(24*time.Hour)
	if path == "" {
		events, items = demo.Synthetic(seed, end)
		return events, items, nil
	}
	events, err = demo.Load(path, seed, end)
	return events, nil, err
}

// demoTraining takes about the same time on data of any size: an epoch of finetuning has one
// example per event, one of pretraining has one per user.
func demoTraining(cmd *cli.Command, device model.Device, events []event.Event) retrain.Config {
	c := retrain.DefaultConfig()
	c.Device, c.Seed, c.ValidationUsers, c.EvaluateUsers = device, cmd.Int64("seed"), demoValidationUsers, demoEvaluationUsers
	c.FinetuneEpochs, c.MinSteps = min(maxEpochs, max(2, examplesPerTraining/len(events))), 0
	c.PretrainEpochs = 2
	// The recipe is meant for hours. Minutes need smaller batches and higher rates, and are
	// too short to overfit.
	c.BatchSize, c.LearningRate, c.Model.Dropout = 128, 2e-3, 0.3
	c.Progress = newProgress(os.Stderr)
	return c
}
