// Package inference compares the beam search with transformers' generate and with CTranslate2 on the
// same weights, catalog and histories, alternating in one run. Its last line is
//
//	inference users_per_s=… p50_ms_batch1=… hf_users_per_s=… speedup_hf=… hf_p50_ms_batch1=… … roofline=…
//
// where roofline is the part of the device's matrix multiplication speed that the search achieves.
package inference

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/tensor"
)

type settings struct {
	data, python             string
	script, baselines        string
	shape                    string
	users, rounds            int
	seconds                  float64
	batches, baselineBatches string
	threads                  int
	device, precision        string
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.data, "data", "", "dataset `FILE`, one user per line: user item item ...")
	flags.StringVar(&s.python, "python", "python3", "Python `PROGRAM` with the packages of deploy/baselines/requirements.txt")
	flags.StringVar(&s.script, "peer", "cmd/bench/inference/baselines.py", "Python `FILE` that runs the baselines")
	flags.StringVar(&s.baselines, "peers", "transformers,ctranslate2", "baselines to compare with; NAME:PRECISION for a precision other than float32; may be empty")
	flags.StringVar(&s.shape, "shape", "paper", "model of a recipe with one token per position, or bart-base")
	flags.IntVar(&s.users, "users", 256, "users to sample from the dataset")
	flags.StringVar(&s.batches, "batches", "1,4,16,64", "batch sizes to try; each engine is measured with its fastest one")
	flags.StringVar(&s.baselineBatches, "peer-batches", "", "batch sizes of the baselines, which may need more memory; default is -batches")
	flags.Float64Var(&s.seconds, "seconds", 5, "approximate duration of a measurement")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds, each of which measures all engines")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "threads of each baseline; genrec uses all cores")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.precision, "precision", "float32", "precision of genrec: float32 or bfloat16")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // a model belongs to one thread
	if s.data == "" {
		return errors.New("-data is required: the file of a dataset")
	}
	sizes, err := s.batchSizes("batches", s.batches)
	if err != nil {
		return err
	}
	baselineSizes, err := s.batchSizes("peer-batches", cmp.Or(s.baselineBatches, s.batches))
	if err != nil {
		return err
	}
	w, err := prepare(s)
	if err != nil {
		return err
	}
	defer w.close()
	dir, err := os.MkdirTemp("", "genrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("%s, %d parameters, %d items, %d users of %.1f tokens, %.2f GFLOP per user, %d beams, %s, %s, %d threads\n",
		s.shape, w.model.Parameters(), w.tree.Leaves, len(w.inputs), w.meanTokens(), w.operations()/1e9, model.Beams, s.device, w.precision, s.threads)

	engines := []*timedEngine{{name: "genrec", engine: genrecEngine{w}}}
	for _, name := range strings.FieldsFunc(s.baselines, func(r rune) bool { return r == ',' }) {
		baseline, err := w.startBaseline(ctx, s, name, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer baseline.Close()
		timed := &timedEngine{name: name, engine: baseline}
		rounded := w.kind != tensor.Float32 || strings.Contains(name, ":")
		if err := checkAgreement(engines[0], timed, len(w.inputs), rounded); err != nil {
			return err
		}
		engines = append(engines, timed)
	}
	for i, e := range engines {
		if i > 0 {
			sizes = baselineSizes
		}
		if err := e.findBest(ctx, sizes, s.seconds, len(w.inputs)); err != nil {
			return err
		}
	}
	return measureRounds(ctx, s, w, engines)
}

func (s settings) batchSizes(flag, list string) ([]int, error) {
	sizes, err := measure.Sizes(flag, list)
	if err == nil && slices.Max(sizes) > s.users {
		err = fmt.Errorf("-%s: %d exceeds -users, %d", flag, slices.Max(sizes), s.users)
	}
	return sizes, err
}

// checkAgreement returns an error if a baseline finds other items than genrec. Baselines that cannot
// constrain the search to the catalog return no items.
func checkAgreement(genrec, baseline *timedEngine, users int, rounded bool) error {
	const compared = 32
	least := 0.98 // rounding changes the order of almost equal scores
	if rounded {
		least = 0.9
	}
	n := min(compared, users)
	want, err := genrec.engine.recommend(n, n)
	if err != nil {
		return err
	}
	got, err := baseline.engine.recommend(n, n)
	if err != nil {
		return err
	}
	same, all := 0, 0
	for i, items := range got.items {
		all += len(items)
		for _, item := range items {
			if slices.Contains(want.items[i], item) {
				same++
			}
		}
	}
	if all == 0 {
		return nil
	}
	fmt.Printf("%d of the %d items that %s finds for %d users are also found by %s\n", same, all, baseline.name, n, genrec.name)
	if float64(same) < least*float64(all) {
		return fmt.Errorf("%s and %s find different items: one of them is wrong", genrec.name, baseline.name)
	}
	return nil
}

// measureRounds measures the engines in turn, each with its fastest batch size and with batches of one user.
func measureRounds(ctx context.Context, s settings, w *workload, engines []*timedEngine) error {
	var peaks []float64
	for round := range s.rounds {
		peak, err := w.matmulSpeed()
		if err != nil {
			return err
		}
		peaks = append(peaks, peak)
		fmt.Printf("round %d:", round+1)
		for _, e := range engines {
			if err := e.measure(ctx, s.seconds, len(w.inputs)); err != nil {
				return err
			}
			fmt.Printf(" %s %.2f users/s in batches of %d, %.1f ms for one;", e.name, e.rates[round], e.batch, e.singles[round])
		}
		fmt.Printf(" matrix multiplication %.0f GFLOP/s\n", peak/1e9)
	}
	genrec := measure.Median(engines[0].rates)
	fmt.Printf("inference users_per_s=%.2f p50_ms_batch1=%.1f", genrec, measure.Median(engines[0].singles))
	for _, e := range engines[1:] {
		rate := measure.Median(e.rates)
		fmt.Printf(" %[1]s_users_per_s=%.2[2]f speedup_%[1]s=%.2[3]f %[1]s_p50_ms_batch1=%.1[4]f", e.label(), rate, genrec/rate, measure.Median(e.singles))
	}
	fmt.Printf(" roofline=%.2f\n", genrec*w.operations()/measure.Median(peaks))
	return nil
}

// recommendations has the items of the first users, and the duration of each batch.
type recommendations struct {
	items     [][]int // indices, by user
	durations []time.Duration
}

// engine generates recommendations for the first users, batch by batch.
type engine interface {
	recommend(users, batch int) (recommendations, error)
}

// timedEngine is an engine with its measurements by round.
type timedEngine struct {
	name    string
	engine  engine
	batch   int       // the fastest batch size
	rates   []float64 // users/s with that size
	singles []float64 // median milliseconds of a batch of one
}

// label returns the name of a baseline in the last line.
func (e *timedEngine) label() string {
	name, _, _ := strings.Cut(e.name, ":")
	return map[string]string{"transformers": "hf", "ctranslate2": "ct2"}[name]
}

// findBest sets the batch size with the most users per second.
func (e *timedEngine) findBest(ctx context.Context, sizes []int, seconds float64, users int) error {
	best := 0.0
	for _, size := range sizes {
		rate, _, err := e.rate(ctx, size, seconds, users)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.2f users/s in batches of %d\n", e.name, rate, size)
		if rate > best {
			best, e.batch = rate, size
		}
	}
	return nil
}

func (e *timedEngine) measure(ctx context.Context, seconds float64, users int) error {
	rate, _, err := e.rate(ctx, e.batch, seconds, users)
	if err != nil {
		return err
	}
	_, single, err := e.rate(ctx, 1, seconds/2, users)
	e.rates, e.singles = append(e.rates, rate), append(e.singles, single)
	return err
}

// rate returns the users per second, and the median milliseconds of a batch, in about the given number of
// seconds.
func (e *timedEngine) rate(ctx context.Context, size int, seconds float64, users int) (rate, median float64, err error) {
	first, err := e.engine.recommend(size, size) // also warms up
	if err != nil {
		return 0, 0, err
	}
	batches := int(seconds/first.durations[0].Seconds()) + 1
	batches = min(max(batches, 2), users/size)
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	got, err := e.engine.recommend(batches*size, size)
	if err != nil {
		return 0, 0, err
	}
	var milliseconds []float64
	total := time.Duration(0)
	for _, d := range got.durations {
		milliseconds = append(milliseconds, d.Seconds()*1e3)
		total += d
	}
	return float64(batches*size) / total.Seconds(), measure.Median(milliseconds), nil
}
