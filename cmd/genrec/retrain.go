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
		&cli.StringFlag{Name: "recipe", Value: retrain.DefaultRecipe, Usage: "what to train and how: " + strings.Join(retrain.Recipes(), ", ") + ", or a JSON `FILE`"},
		&cli.StringSliceFlag{Name: "set", Usage: "`FIELD=VALUE` in place of the recipe's, such as batch_size=64 or model.dropout=0.2; can be repeated"},
		&cli.StringFlag{Name: "bart", Usage: "Hugging Face `FOLDER` of a BART to start from: config.json, model.safetensors or pytorch_model.bin, vocab.json, merges.txt"},
		&cli.StringFlag{Name: "stage", Value: "full", Usage: "full: pretraining and finetuning; finetune: without pretraining", Validator: among("full", "finetune")},
		&cli.BoolFlag{Name: "from-scratch", Usage: "go on from no version: all weights are learned anew"},
		&cli.IntFlag{Name: "from-scratch-every", Value: retrain.DefaultScratchEvery, Usage: "so many trainings, one is from scratch though it could go on from a version; 0 is never", Validator: atLeast(0)},
		&cli.IntFlag{Name: "pretrain-epochs", DefaultText: "the recipe's", Usage: "passes over the users with one random item masked", Validator: atLeast(0)},
		&cli.IntFlag{Name: "finetune-epochs", DefaultText: "the recipe's", Usage: "passes over the users with the next item asked for", Validator: atLeast(0)},
		&cli.DurationFlag{Name: "max-time", Usage: "`TIME` that the training may take, such as 3h: then its best epoch so far is the model; evaluation and publication come on top; for one process; 0 is no bound", Validator: atLeast[time.Duration](0)},
		&cli.IntFlag{Name: "max-steps", Usage: "steps that the training may take, of all stages together; 0 is no bound", Validator: atLeast(0)},
		&cli.StringFlag{Name: "max-memory", Usage: "resident `MEMORY` of this process, such as 6GiB, above which a training stops with a checkpoint and an error; default is no bound", Validator: parsable(parseMemory)},
		&cli.IntFlag{Name: "evaluate-users", Usage: "at most so many users in the evaluation; 0 is all", Validator: atLeast(0)},
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: "auto: a bar on a terminal, else a log line now and then; json: a JSON line each second on stderr, and all that is logged as JSON lines, too", Validator: among("auto", "json")},
		&cli.Int64Flag{Name: "seed", Value: 1, Usage: "of everything random: one seed and one snapshot give one model"},
	}
}

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:  "retrain",
		Usage: "train on all sequences and publish the model, once or on a schedule",
		Description: `Takes a snapshot of all sequences in Redis and, with --history, of all that ingest
has kept there (the newest 1,024 events of a user), or reads a dataset's file,
pretrains, finetunes, and evaluates leave-one-out with all items as candidates. A gate compares
the new version with the current one on the same questions and makes it current if it
is better, or as good and knows new items. Inference workers pick it up by themselves.
Else it is kept for the record, and the command ends with exit code 3 and the reason. While
a split divides the users among versions, the new one waits: exit code 4. Where there is
nothing to learn yet (no user has three events, or two different items before the last), it
is 5, and nothing is published.
Schedule it times, or let --schedule do so: then it stays, trains at these times, never
twice at once, and logs a training that fails before it waits for the next one.

A version whose shape fits is gone on from: items keep their embeddings, and a short
finetuning takes in what is new.

A run that was stopped or killed goes on where it was when it is started again on
the same data.

Example, in a crontab:   0 3 * * *  genrec retrain --redis redis:6379 --models /srv/models
Without cron:            genrec retrain --schedule "0 3 * * *" --redis redis:6379 --models /srv/models
On a public dataset:     genrec retrain --data Beauty.txt --ids permuted --models /tmp/beauty`,
		Flags: join(redisFlags(), historyFlag(), datasetFlags(), modelFlags(), retrainFlags(), ranksFlags(), metricsFlag(), []cli.Flag{
			jsonFlag(),
			scheduleFlag("none", "stay and train whenever five cron fields say so, 0 3 * * *, or @daily or @every 6h; in the machine's time zone, or that of a CRON_TZ=Europe/Paris in front"),
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

// checkSource is for one thing to train on.
func checkSource(cmd *cli.Command) error {
	data, redis, past := cmd.String("data") != "", cmd.String("redis") != "", cmd.String("history") != ""
	switch {
	case !data && !redis:
		return errors.New("--redis or --data is needed: where are the sequences to train on?")
	case data && past:
		return settings.Wrong(cmd, errors.New("both name something to train on: choose one"), "data", "history")
	case data && redis:
		return settings.Wrong(cmd, errors.New("both name something to train on: choose one"), "data", "redis")
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

// retrainOn trains on the dataset's file, or else on what is in Redis.
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
	past, err := openHistory(cmd)
	if err != nil {
		return report, err
	}
	return trainLatest(ctx, config, s, past, m)
}

// trainLatest trains once on the sessions in Redis and on the history (nil: none).
func trainLatest(ctx context.Context, config retrain.Config, s servers, past *history.Dir, m models) (retrain.Report, error) {
	return retrain.RunLatest(ctx, config, snapshot.Config{History: past, Hot: s.store, Erasures: s.store}, m.registry)
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
		c.FinetuneEpochs, c.LeastSteps = cmd.Int("finetune-epochs"), 0
	}
	if cmd.String("stage") == "finetune" {
		c.PretrainEpochs = 0
	}
	if c.Budget, err = budget(cmd); err != nil {
		return c, err
	}
	c.EvaluateUsers = cmd.Int("evaluate-users")
	c.FromScratch, c.ScratchEvery = cmd.Bool("from-scratch"), cmd.Int("from-scratch-every")
	return c, settings.Wrong(cmd, c.Preflight(), "recipe", "set", "bart")
}

func chosenRecipe(cmd *cli.Command) (retrain.Recipe, error) {
	recipe, err := retrain.LoadRecipe(cmd.String("recipe"), cmd.StringSlice("set")...)
	return recipe, settings.Wrong(cmd, err, "recipe", "set")
}

func budget(cmd *cli.Command) (b retrain.Budget, err error) {
	b.Steps, b.Time = cmd.Int("max-steps"), cmd.Duration("max-time")
	b.Memory, err = parseMemory(cmd.String("max-memory"))
	err = settings.Wrong(cmd, err, "max-memory")
	if b.Time > 0 && cmd.Int("nproc") > 1 {
		err = settings.Join(err, settings.Wrong(cmd, retrain.ErrSharedTime, "max-time", "nproc"))
	}
	return b, err
}

// parseMemory is 0 for no text.
func parseMemory(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	bytes, err := humanize.ParseBytes(text)
	if err != nil || bytes == 0 {
		return 0, fmt.Errorf("%q is no number of bytes such as 6GiB", text)
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
		if _, err := fmt.Fprintf(out, "skipped %d users whose sequence in Redis is unreadable: the log names them\n", r.SkippedUsers); err != nil {
			return err
		}
	}
	if r.Serves() { // else it is the command's error
		if _, err := fmt.Fprintln(out, r.Outcome()); err != nil {
			return err
		}
	}
	return printMetrics(out, r.LeaveOneOut)
}
