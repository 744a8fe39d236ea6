// Package growth measures what the product computes for growing catalogs: recommendations by all components,
// training steps, and what a night costs once (item codes, rules, publishing, loading). Each catalog is a
// synthetic shop in which users stay in groups of similar items; a model of the recipe's shape is trained on
// it for a few steps, published, opened and queried as by infer. Its last line has the figures of each size,
//
//	growth items=… ms_10k=… ms_1m=… factor_1m=… train_step_ms_10k=… train_step_ms_1m=… load_s_1m=… memory_mb_1m=…
//
// where factors are relative to the first size; or with -soak
//
//	soak seconds=… users=… users_per_s=… early_mb=… late_mb=…
package growth

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/retrain"
)

type settings struct {
	recipe, device string
	items          string
	interactions   int
	rounds, steps  int
	picture        string
	soak           time.Duration
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.recipe, "recipe", retrain.DefaultRecipe, "recipe of the model")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.items, "items", "10000,100000,1000000", "catalog sizes")
	flags.IntVar(&s.interactions, "interactions", 5, "interactions per item")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds of queries to take the median of")
	flags.IntVar(&s.steps, "steps", 10, "training steps to take the median of")
	flags.StringVar(&s.picture, "picture", "", "SVG `FILE` for a plot")
	flags.DurationVar(&s.soak, "soak", 0, "query at full rate for this duration instead and fail if memory grows")
	return func(ctx context.Context) error { return run(ctx, s) }
}

// The defaults of a query, while the other size grows.
const (
	defaultHistory = 16
	defaultBatch   = 64
)

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // a model belongs to one thread
	sizes, err := measure.Sizes("items", s.items)
	if err != nil {
		return err
	}
	recipe, err := retrain.LoadRecipe(s.recipe)
	if err != nil {
		return err
	}
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "genrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &benchmark{settings: s, recipe: recipe, modelDevice: device, dir: dir}
	if s.soak > 0 {
		return b.runSoak(ctx, s.soak)
	}
	fmt.Printf("recipe %s, %s, %d cores; %d interactions per item; histories of %d items, batches of %d users\n\n",
		s.recipe, s.device, runtime.NumCPU(), s.interactions, defaultHistory, defaultBatch)
	fmt.Println("| items | ms per user | prepare, network, fuse | training step, ms | codes, s | rules, s | publish, s | load, s | memory, MB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	var all []figures
	for _, items := range sizes {
		f, err := b.measure(ctx, items)
		if err != nil {
			return fmt.Errorf("%d items: %w", items, err)
		}
		fmt.Printf("| %d | %.3f | %.3f, %.3f, %.3f | %.1f | %.1f | %.1f | %.1f | %.2f | %.0f |\n",
			f.items, f.milliseconds, f.prepare, f.network, f.fuse, f.stepMilliseconds, f.codes.Seconds(), f.rules.Seconds(), f.publish.Seconds(), f.load.Seconds(), f.memoryMB)
		all = append(all, f)
	}
	if s.picture != "" {
		if err := plotCurves(curves(all), s.picture); err != nil {
			return err
		}
	}
	fmt.Println(lastLine(s.items, all))
	return nil
}

// curves are what the plot shows.
func curves(all []figures) []curve {
	answer, step := curve{y: "ms per user"}, curve{y: "ms per training step"}
	for _, f := range all {
		answer.sizes, answer.milliseconds = append(answer.sizes, float64(f.items)), append(answer.milliseconds, f.milliseconds)
		step.sizes, step.milliseconds = append(step.sizes, float64(f.items)), append(step.milliseconds, f.stepMilliseconds)
	}
	return []curve{answer, step}
}

// lastLine has the figures of all sizes in a form for programs.
func lastLine(sizes string, all []figures) string {
	fields := []string{"growth", "items=" + sizes}
	add := func(name string, f figures, value float64, decimals int) {
		fields = append(fields, name+"_"+sizeLabel(f.items)+"="+strconv.FormatFloat(value, 'f', decimals, 64))
	}
	for _, f := range all {
		add("ms", f, f.milliseconds, 3)
	}
	for _, f := range all[1:] {
		add("factor", f, f.milliseconds/all[0].milliseconds, 2)
	}
	for _, f := range all {
		add("train_step_ms", f, f.stepMilliseconds, 1)
	}
	for _, f := range all {
		add("load_s", f, f.load.Seconds(), 2)
	}
	for _, f := range all {
		add("memory_mb", f, f.memoryMB, 0)
	}
	return strings.Join(fields, " ")
}

// sizeLabel writes 10,000 as 10k and 1,000,000 as 1m.
func sizeLabel(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "m"
	case n >= 1_000 && n%1_000 == 0:
		return strconv.Itoa(n/1_000) + "k"
	}
	return strconv.Itoa(n)
}
