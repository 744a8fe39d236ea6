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

// Sizes of the demonstration, so that it fits two cores and a short break.
const (
	liveShare      = 0.15
	maxLive        = 16_000
	trainingBudget = 250_000 // examples per training
	mostEpochs     = 6
	demoValidates  = 500   // users
	demoEvaluates  = 2_000 // users
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "watch it work: replay a dataset, live, with a retraining in the middle",
		Description: `Replays a dataset in time order through Kafka, trains a first model on the older
part, answers each event of the newer part with new recommendations, retrains
once while the stream runs, and closes with what it measured: the hit rate of
the lists that stood before each event, beside that of the popular items, and the
time from an event to its answer.

A page at --page shows it, and lets a person become a user, click items and train. On a
terminal it goes on after the replay, until Ctrl-C; elsewhere, or with --stay=false, the
demonstration ends by itself.

Without --data it generates a shop. With it, it reads a file of
"user item item item ..." lines, items in chronological order.

Example:   genrec demo --data Beauty.txt`,
		Flags: join(kafkaFlags(), redisFlags(), pageFlag(`empty: none. If nobody has named it and it is taken, another port is`), []cli.Flag{
			&cli.BoolFlag{
				Name: "stay", Value: term.IsTerminal(int(os.Stdout.Fd())), DefaultText: "on a terminal",
				Usage: "go on answering after the replay, until Ctrl-C",
			},
			jsonFlag(),
			&cli.StringFlag{Name: "data", Usage: "`FILE` to replay"},
			&cli.FloatFlag{Name: "rate", Value: 50, Usage: "live events per second", Validator: positive[float64]},
			&cli.IntFlag{Name: "live", Usage: fmt.Sprintf("live events; 0 is %.0f %% of the data, at most %d", 100*liveShare, maxLive), Validator: atLeast(0)},
			&cli.Int64Flag{Name: "seed", Value: 1, Usage: "of the data and of the models"},
			deviceFlag(),
		}),
		Action: runDemo,
	}
}

func runDemo(ctx context.Context, cmd *cli.Command) (err error) {
	events, items, err := demoEvents(cmd)
	device, refused := chosenDevice(cmd)
	if err := settings.Join(settings.Wrong(cmd, err, "data"), refused); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "genrec-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the models: %w", err)
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
	if err := shop.Tell(ctx, s.redis, cmd.String("prefix"), items); err != nil {
		return err
	}
	training, aside := demoTraining(cmd, device, events), retrain.Progress(newLoggedProgress())
	page, client := newPage(cmd, s, func(ctx context.Context) (string, error) {
		config := training
		config.Progress = aside
		return demo.Train(ctx, config, s.store, models)
	})
	training.Progress, aside = page.Progress(training.Progress), page.Progress(aside)
	aloud := narration(cmd)
	if listener != nil {
		fmt.Fprintf(aloud, "watch it, and try it yourself, at %s\n", pageURL(listener))
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
			Retrain: training, Aside: aside, Out: aloud,
			Page: page, Stay: listener != nil && cmd.Bool("stay"),
			Measured: func(summary demo.Summary) {
				if listener != nil && cmd.Bool("stay") {
					fmt.Fprintf(aloud, "  %s goes on until Ctrl-C\n", pageURL(listener))
				}
				fmt.Fprintln(aloud, "  next: genrec all --help, and README.md for your own Kafka and Redis")
				printed = printResult(cmd, summary, fmt.Sprint(summary))
			},
		})
	})
	return errors.Join(group.Wait(), printed)
}

// demoEvents returns no items where nothing but their ids is known.
func demoEvents(cmd *cli.Command) (events []event.Event, items []shop.Item, err error) {
	path, seed, end := cmd.String("data"), cmd.Int64("seed"), time.Now().UTC().Truncate(24*time.Hour)
	if path == "" {
		events, items = demo.Synthetic(seed, end)
		return events, items, nil
	}
	events, err = demo.Load(path, seed, end)
	return events, nil, err
}

// demoTraining spends about the same time on data of any size: an epoch asks for every
// event once, and a pass of the pretraining for one of each user's.
func demoTraining(cmd *cli.Command, device model.Device, events []event.Event) retrain.Config {
	c := retrain.DefaultConfig()
	c.Device, c.Seed, c.ValidationUsers, c.EvaluateUsers = device, cmd.Int64("seed"), demoValidates, demoEvaluates
	c.FinetuneEpochs, c.LeastSteps = min(mostEpochs, max(2, trainingBudget/len(events))), 0
	c.PretrainEpochs = 2
	// The recipe is made for a night. Minutes ask for more and smaller steps, and leave
	// no time to overfit.
	c.BatchSize, c.LearningRate, c.Model.Dropout = 128, 2e-3, 0.3
	c.Progress = newProgress(os.Stderr)
	return c
}
