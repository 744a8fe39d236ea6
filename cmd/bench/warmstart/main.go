// Package warmstart trains on the same new data twice, from scratch and from the previous version's
// weights, and reports the time and quality of both: NDCG@10 of the paper's validation (section 6),
// whose items no training has seen and no choice was based on.
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
	flags.StringVar(&s.data, "data", "", "dataset's file, one user a line: user item item ...; ids are permuted")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.recipe, "recipe", retrain.DefaultRecipe, "what is trained")
	flags.Func("set", "`FIELD=VALUE` in place of the recipe's, such as finetune_epochs=4; may be repeated", func(change string) error {
		s.changes = append(s.changes, change)
		return nil
	})
	flags.IntVar(&s.evaluate, "evaluate-users", 0, "users of the validation, which is not timed; 0 is all")
	flags.Int64Var(&s.seed, "seed", 1, "of the cut and of the models")
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
		if rest := len(u.Items) - 1; rest > 0 { // the last item is the test's
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
	n := &nights{config: c, models: models}
	if err := n.train(ctx, before(all, uint64(s.seed)), all); err != nil {
		return err
	}
	return n.compare()
}

func config(s settings) (c retrain.Config, err error) {
	if s.data == "" {
		return c, errors.New("-data is needed: the file of a dataset")
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

// nights are the one before and the two to compare.
type nights struct {
	config             retrain.Config
	models             *registry.Registry
	old, scratch, warm retrain.Report
}

// train makes a version of the old events, and of all of them two that follow it.
func (n *nights) train(ctx context.Context, old, all []catalog.Sequence) (err error) {
	fmt.Printf("before: %d users, %d items, %d interactions; now: %d, %d, %d\n",
		len(old), len(distinct(old)), interactions(old), len(all), len(distinct(all)), interactions(all))
	if n.old, err = retrain.Run(ctx, n.config, old, n.models); err != nil {
		return fmt.Errorf("the night before: %w", err)
	}
	report("before", n.old)
	follow := func(fromScratch bool) (r retrain.Report, err error) {
		// Not Promote, which rejects versions that failed the gate.
		if err := n.models.PromoteShares(ctx, []registry.Share{{Version: n.old.Version, Percent: 100}}); err != nil {
			return r, err
		}
		c := n.config
		c.FromScratch = fromScratch
		return retrain.Run(ctx, c, all, n.models)
	}
	if n.scratch, err = follow(true); err != nil {
		return fmt.Errorf("from scratch: %w", err)
	}
	report("scratch", n.scratch)
	if n.warm, err = follow(false); err != nil {
		return fmt.Errorf("warm start: %w", err)
	}
	report("warm", n.warm)
	return nil
}
