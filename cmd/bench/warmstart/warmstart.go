// Package warmstart trains on the same data twice, from scratch and from the weights of a previous version,
// and compares time and quality: NDCG@10 on the validation items of the paper (section 6), which are not used
// for training or selection. Its last line is
//
//	warm_start scratch_s=… warm_s=… ratio=… scratch_ndcg10=… warm_ndcg10=… … reached_last_s=…
package warmstart

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/dataset"
	"genrec/pkg/registry"
	"genrec/retrain"
)

type settings struct {
	data, device, recipe string
	changes              []string
	evaluate             int
	seed                 int64
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.data, "data", "", "dataset `FILE`, one user per line: user item item ...; ids are permuted")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.recipe, "recipe", retrain.DefaultRecipe, "recipe to train")
	flags.Func("set", "`FIELD=VALUE` to override in the recipe, such as finetune_epochs=4; repeatable", func(change string) error {
		s.changes = append(s.changes, change)
		return nil
	})
	flags.IntVar(&s.evaluate, "evaluate-users", 0, "users of the evaluation, which is not timed; 0: all")
	flags.Int64Var(&s.seed, "seed", 1, "seed of the split and of the models")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) (err error) {
	c, err := config(s)
	if err != nil {
		return err
	}
	users, err := dataset.Read(s.data)
	if err != nil {
		return fmt.Errorf("-data: %w", err)
	}
	var all []catalog.Sequence
	for _, u := range dataset.Permute(users) {
		if rest := len(u.Items) - 1; rest > 0 { // leaves out the test item
			all = append(all, catalog.Sequence{User: u.ID, Items: u.Items[:rest]})
		}
	}
	folder, err := os.MkdirTemp("", "genrec-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	models, err := registry.Open(folder)
	if err != nil {
		return err
	}
	r := &comparison{config: c, models: models}
	if err := r.train(ctx, pastOf(all, uint64(s.seed)), all); err != nil {
		return err
	}
	return r.compare()
}

func config(s settings) (c retrain.Config, err error) {
	if s.data == "" {
		return c, errors.New("-data is required: the file of a dataset")
	}
	c = retrain.DefaultConfig()
	if c.Recipe, err = retrain.LoadRecipe(s.recipe, s.changes...); err != nil {
		return c, fmt.Errorf("-recipe and -set: %w", err)
	}
	if c.Device, err = model.ParseDevice(s.device); err != nil {
		return c, fmt.Errorf("-device: %w", err)
	}
	c.EvaluateUsers, c.Seed = s.evaluate, s.seed
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	return c, nil
}

// comparison has the reports of three trainings: of the previous version, from scratch, and with a warm start.
type comparison struct {
	config                  retrain.Config
	models                  *registry.Registry
	previous, scratch, warm retrain.Report
}

// train trains the previous version on the past, and then its two successors on all data.
func (c *comparison) train(ctx context.Context, past, all []catalog.Sequence) (err error) {
	fmt.Printf("past: %d users, %d items, %d interactions; all: %d, %d, %d\n",
		len(past), len(distinct(past)), interactions(past), len(all), len(distinct(all)), interactions(all))
	if c.previous, err = retrain.Run(ctx, c.config, past, c.models); err != nil {
		return fmt.Errorf("previous version: %w", err)
	}
	report("previous", c.previous)
	successor := func(fromScratch bool) (r retrain.Report, err error) {
		// Not Promote, which rejects versions that failed the gate.
		if err := c.models.PromoteShares(ctx, []registry.Share{{Version: c.previous.Version, Percent: 100}}); err != nil {
			return r, err
		}
		config := c.config
		config.FromScratch = fromScratch
		return retrain.Run(ctx, config, all, c.models)
	}
	if c.scratch, err = successor(true); err != nil {
		return fmt.Errorf("from scratch: %w", err)
	}
	report("scratch", c.scratch)
	if c.warm, err = successor(false); err != nil {
		return fmt.Errorf("warm start: %w", err)
	}
	report("warm", c.warm)
	return nil
}
