package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model/dist"
	"genrec/pkg/history"
	"genrec/retrain"
	"genrec/retrain/snapshot"
)

func retrainFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "recipe", Value: retrain.DefaultRecipe, Usage: "training `RECIPE` (model shape and hyperparameters): " + strings.Join(retrain.Recipes(), ", ") + ", or a JSON file"},
		&cli.StringSliceFlag{Name: "set", Usage: "`FIELD=VALUE` that overrides the recipe, such as batch_size=64 or model.dropout=0.2; can be repeated"},
		&cli.StringFlag{Name: "bart", Usage: "Hugging Face `FOLDER` of a pretrained BART to start from, with config.json, model.safetensors or pytorch_model.bin, vocab.json and merges.txt"},
		&cli.StringFlag{Name: "stage", Value: "full", Usage: "`STAGE` to train: full (pretraining and finetuning) or finetune (no pretraining)", Validator: oneOf("full", "finetune")},
		&cli.BoolFlag{Name: "from-scratch", Usage: "train all weights from scratch, without a warm start from the current version"},
		&cli.IntFlag{Name: "from-scratch-every", Value: retrain.DefaultScratchEvery, Usage: "`NUMBER` of trainings after which one is from scratch, although a warm start is possible; 0: never", Validator: atLeast(0)},
		&cli.IntFlag{Name: "pretrain-epochs", DefaultText: "the recipe's", Usage: "`NUMBER` of pretraining epochs: passes over the users in which a random item is masked", Validator: atLeast(0)},
		&cli.IntFlag{Name: "finetune-epochs", DefaultText: "the recipe's", Usage: "`NUMBER` of finetuning epochs: passes over the users in which the next item is predicted", Validator: atLeast(0)},
		&cli.DurationFlag{Name: "max-time", Usage: "maximum `TIME` of the training, such as 3h, after which the best epoch so far becomes the model; evaluation and publishing are extra; not with --nproc; 0: no limit", Validator: atLeast[time.Duration](0)},
		&cli.IntFlag{Name: "max-steps", Usage: "maximum `NUMBER` of training steps, of all stages together; 0: no limit", Validator: atLeast(0)},
		&cli.StringFlag{Name: "max-memory", Usage: "resident `MEMORY` of this process, such as 6GiB, above which a training stops with a checkpoint and an error; default: no limit", Validator: parsable(parseMemory)},
		&cli.IntFlag{Name: "evaluate-users", Usage: "maximum `NUMBER` of users in the evaluation; 0: all", Validator: atLeast(0)},
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: "`FORMAT` of the progress: auto (a bar on a terminal, else a log line every 15 s) or json (a JSON line every second on stderr, and the log as JSON lines, too)", Validator: oneOf("auto", "json")},
		&cli.Int64Flag{Name: "seed", Value: 1, Usage: "random `SEED`: the same seed and snapshot give the same model"},
	}
}

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:  "retrain",
		Usage: "train a model on all users and publish it, once or on a schedule",
		Description: `Builds a snapshot of all sequences in Redis and, with --history, of the newest 1,024 events
of each user in the history; or reads a dataset file (--data). Pretrains and finetunes a
model, evaluates it leave-one-out with all items as candidates, and publishes it as a new
version. If the current version has the same shape, the training starts from its weights
(warm start) without pretraining, which takes less time.

A gate compares the new version with the current one on the same evaluation set, and
promotes it if it is better, or has new items and is not noticeably worse. infer switches
to it without a restart. The exit code is 3 if the gate rejected the version, which is
kept for inspection; 4 if the version waits for the end of an A/B split; and 5 if there is
not enough data yet (no user has three events, or two different items before the last
one), in which case nothing is published.

Run it from cron, or with --schedule: it then keeps running, trains at the scheduled
times, one training at a time, and logs failures. A training that was interrupted resumes
from its checkpoint when it is started again on the same data.

Example, in a crontab:   0 3 * * *  genrec retrain --redis redis:6379 --models /srv/models
Without cron:            genrec retrain --schedule "0 3 * * *" --redis redis:6379 --models /srv/models
On a public dataset:     genrec retrain --data Beauty.txt --ids permuted --models /tmp/beauty`,
		Flags: join(redisFlags(), historyFlag(), datasetFlags(), modelFlags(), retrainFlags(), ranksFlags(), metricsFlag(), []cli.Flag{
			jsonFlag(),
			scheduleFlag("none", "keep running, and train at the times of a cron `EXPRESSION`: five fields such as 0 3 * * *, @daily, or @every 6h, in the time zone of the machine or of a prefix such as CRON_TZ=Europe/Paris"),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if times, err := readSchedule(cmd, never); err != nil || times != nil {
				if err == nil {
					err = retrainOnSchedule(ctx, cmd, *times)
				}
				return err
			}
			return inRanks(ctx, cmd, retrainAndReport)
		},
	}
}

// checkSource requires exactly one source of training data.
func checkSource(cmd *cli.Command) error {
	data, redis, history := cmd.String("data") != "", cmd.String("redis") != "", cmd.String("history") != ""
	switch {
	case !data && !redis:
		return errors.New("--redis or --data is required: the sequences to train on")
	case data && history:
		return settings.Invalid(cmd, errors.New("both are training data: choose one"), "data", "history")
	case data && redis:
		return settings.Invalid(cmd, errors.New("both are training data: choose one"), "data", "redis")
	}
	return nil
}

// retrainAndReport trains, as rank 0 of a group or, if it is nil, alone.
func retrainAndReport(ctx context.Context, cmd *cli.Command, group *dist.Group, cores int) error {
	config, m, err := openTraining(ctx, cmd)
	if err := settings.Join(checkSource(cmd), err); err != nil {
		return err
	}
	config.Group, config.Cores = group, cores
	report, err := retrainOn(ctx, cmd, config, m)
	if err != nil {
		return err
	}
	return errors.Join(printReport(cmd.Root().Writer, report, cmd.Bool("json")), report.NotServed())
}

// retrainOn trains on the dataset file, or else on Redis and the history.
func retrainOn(ctx context.Context, cmd *cli.Command, config retrain.Config, m models) (report retrain.Report, err error) {
	if cmd.String("data") != "" {
		sequences, err := readDataset(cmd)
		if err != nil {
			return report, err
		}
		return retrain.Run(ctx, config, sequences, m.registry)
	}
	var s servers
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.openStore(ctx, cmd); err != nil {
		return report, err
	}
	historyDir, err := openHistory(cmd)
	if err != nil {
		return report, err
	}
	return trainLatest(ctx, config, s, historyDir, m)
}

// trainLatest trains once on the sequences in Redis and on the history (nil: none).
func trainLatest(ctx context.Context, config retrain.Config, s servers, historyDir *history.Dir, m models) (retrain.Report, error) {
	return retrain.RunLatest(ctx, config, snapshot.Config{History: historyDir, Sequences: s.store, Erasures: s.store}, m.registry)
}

func openTraining(ctx context.Context, cmd *cli.Command) (retrain.Config, models, error) {
	m, err := openModels(ctx, cmd)
	if err != nil {
		return retrain.Config{}, m, err
	}
	c, err := retrainConfig(cmd, m)
	return c, m, err
}

func retrainConfig(cmd *cli.Command, m models) (retrain.Config, error) {
	shown, err := chosenProgress(cmd)
	if err != nil {
		return retrain.Config{}, err
	}
	c := retrain.DefaultConfig()
	c.Progress = shown
	if c.Recipe, err = chosenRecipe(cmd); err != nil {
		return c, err
	}
	c.Device, c.Ranker, c.Seed, c.Pretrained = m.device, m.ranker, cmd.Int64("seed"), cmd.String("bart")
	if cmd.IsSet("pretrain-epochs") {
		c.PretrainEpochs = cmd.Int("pretrain-epochs")
	}
	if cmd.IsSet("finetune-epochs") {
		c.FinetuneEpochs, c.MinSteps = cmd.Int("finetune-epochs"), 0
	}
	if cmd.String("stage") == "finetune" {
		c.PretrainEpochs = 0
	}
	if c.Budget, err = budget(cmd); err != nil {
		return c, err
	}
	c.EvaluateUsers = cmd.Int("evaluate-users")
	c.FromScratch, c.ScratchEvery = cmd.Bool("from-scratch"), cmd.Int("from-scratch-every")
	return c, settings.Invalid(cmd, c.Preflight(), "recipe", "set", "bart")
}

func chosenRecipe(cmd *cli.Command) (retrain.Recipe, error) {
	recipe, err := retrain.LoadRecipe(cmd.String("recipe"), cmd.StringSlice("set")...)
	return recipe, settings.Invalid(cmd, err, "recipe", "set")
}

func budget(cmd *cli.Command) (b retrain.Budget, err error) {
	b.Steps, b.Time = cmd.Int("max-steps"), cmd.Duration("max-time")
	b.Memory, err = parseMemory(cmd.String("max-memory"))
	err = settings.Invalid(cmd, err, "max-memory")
	if b.Time > 0 && cmd.Int("nproc") > 1 {
		err = settings.Join(err, settings.Invalid(cmd, retrain.ErrSharedTime, "max-time", "nproc"))
	}
	return b, err
}

// parseMemory returns a number of bytes; 0 for an empty text.
func parseMemory(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	bytes, err := humanize.ParseBytes(text)
	if err != nil || bytes == 0 {
		return 0, fmt.Errorf("%q is not a size such as 6GiB", text)
	}
	return bytes, nil
}

func printReport(out io.Writer, r retrain.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	if _, err := fmt.Fprintf(out, "version %s: %d users, %d items, %d interactions, %d parameters, trained in %.0f s on %s, peak memory %.0f MB\n",
		r.Version, r.Users, r.Items, r.Interactions, r.Parameters, r.TrainSeconds, r.Device, r.PeakMemoryMB); err != nil {
		return err
	}
	if r.SkippedUsers > 0 {
		if _, err := fmt.Fprintf(out, "skipped %d users whose sequence in Redis is unreadable: see the log\n", r.SkippedUsers); err != nil {
			return err
		}
	}
	if r.Serves() { // otherwise the outcome is the command's error
		if _, err := fmt.Fprintln(out, r.Outcome()); err != nil {
			return err
		}
	}
	return printMetrics(out, r.LeaveOneOut)
}
