// Package inference compares the beam search with transformers' generate and with CTranslate2 on the
// same weights, catalog and histories, alternating in one run.
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
	"strconv"
	"strings"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/tensor"
)

type settings struct {
	data, python       string
	script, peers      string
	shape              string
	users, rounds      int
	seconds            float64
	batches, peerSizes string
	threads            int
	device, precision  string
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.data, "data", "", "dataset's file, one user a line: user item item ...")
	flags.StringVar(&s.python, "python", "python3", "with the packages of deploy/baselines/requirements.txt")
	flags.StringVar(&s.script, "peer", "cmd/bench/inference/peer.py", "the side of the peers")
	flags.StringVar(&s.peers, "peers", "transformers,ctranslate2", "to time beside genrec, in another precision than float32 as NAME:PRECISION; may be empty")
	flags.StringVar(&s.shape, "shape", "paper", "a recipe's model that reads a token a position, or bart-base")
	flags.IntVar(&s.users, "users", 256, "whose histories are drawn")
	flags.StringVar(&s.batches, "batches", "1,4,16,64", "sizes of which each engine takes its best")
	flags.StringVar(&s.peerSizes, "peer-batches", "", "the same for the peers, where they have less room")
	flags.Float64Var(&s.seconds, "seconds", 5, "of a measurement, about")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds, the engines taking turns")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "of each peer; genrec takes all cores")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.precision, "precision", "float32", "of genrec: float32 or bfloat16")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // the model's
	sizes, err := s.sizes(s.batches)
	if err != nil {
		return err
	}
	peerSizes, err := s.sizes(cmp.Or(s.peerSizes, s.batches))
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
	fmt.Printf("%s, %d parameters, %d items, %d users of %.1f tokens, %.2f GFLOP a user, %d beams, %s, %s, %d threads\n",
		s.shape, w.model.Parameters(), w.tree.Leaves, len(w.inputs), w.meanTokens(), w.operations()/1e9, model.Beams, s.device, w.precision, s.threads)

	engines := []*contestant{{name: "genrec", engine: here{w}}}
	for _, name := range strings.FieldsFunc(s.peers, func(r rune) bool { return r == ',' }) {
		there, err := w.startPeer(ctx, s, name, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer there.Close()
		peer := &contestant{name: name, engine: there}
		rounded := w.kind != tensor.Float32 || strings.Contains(name, ":")
		if err := agree(engines[0], peer, len(w.inputs), rounded); err != nil {
			return err
		}
		engines = append(engines, peer)
	}
	for i, e := range engines {
		if i > 0 {
			sizes = peerSizes
		}
		if err := e.findBest(ctx, sizes, s.seconds, len(w.inputs)); err != nil {
			return err
		}
	}
	return race(ctx, s, w, engines)
}

func (s settings) sizes(list string) (sizes []int, err error) {
	if s.data == "" {
		return nil, errors.New("-data is needed: the file of a dataset")
	}
	for _, text := range strings.Split(list, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > s.users {
			return nil, fmt.Errorf("-batches and -peer-batches: %q is no number from 1 to the %d of -users", text, s.users)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// agree refuses engines that follow the same rules and find other items. A peer that
// knows no catalog finds none.
func agree(a, b *contestant, users int, rounded bool) error {
	const compared = 32
	least := 0.98 // rounding decides between items of about the same score
	if rounded {
		least = 0.9
	}
	n := min(compared, users)
	ours, err := a.engine.recommend(n, n)
	if err != nil {
		return err
	}
	theirs, err := b.engine.recommend(n, n)
	if err != nil {
		return err
	}
	same, all := 0, 0
	for i, items := range theirs.items {
		all += len(items)
		for _, item := range items {
			if slices.Contains(ours.items[i], item) {
				same++
			}
		}
	}
	if all == 0 {
		return nil
	}
	fmt.Printf("%d of the %d items that %s finds for %d users are those of %s\n", same, all, b.name, n, a.name)
	if float64(same) < least*float64(all) {
		return fmt.Errorf("%s and %s do not search the same: one of them is wrong", a.name, b.name)
	}
	return nil
}

// race times the engines in turn, each in its best batch and one user at a time.
func race(ctx context.Context, s settings, w *work, engines []*contestant) error {
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
			fmt.Printf(" %s %.2f users/s in batches of %d, %.1f ms alone;", e.name, e.rates[round], e.batch, e.alone[round])
		}
		fmt.Printf(" matrix products %.0f GFLOP/s\n", peak/1e9)
	}
	ours := measure.Median(engines[0].rates)
	fmt.Printf("inference users_per_s=%.2f p50_ms_batch1=%.1f", ours, measure.Median(engines[0].alone))
	for _, e := range engines[1:] {
		rate := measure.Median(e.rates)
		fmt.Printf(" %[1]s_users_per_s=%.2[2]f speedup_%[1]s=%.2[3]f %[1]s_p50_ms_batch1=%.1[4]f", e.short(), rate, ours/rate, measure.Median(e.alone))
	}
	fmt.Printf(" roofline=%.2f\n", ours*w.operations()/measure.Median(peaks))
	return nil
}

// answer is what an engine found for the first users, and how long each batch took.
type answer struct {
	items     [][]int
	durations []time.Duration
}

// engine recommends to the first users, batch by batch.
type engine interface {
	recommend(users, batch int) (answer, error)
}

// contestant is an engine with its figures by round.
type contestant struct {
	name   string
	engine engine
	batch  int       // the best one
	rates  []float64 // users/s in it
	alone  []float64 // median milliseconds of a batch of one
}

// short names the engine in the last line.
func (c *contestant) short() string {
	name, _, _ := strings.Cut(c.name, ":")
	return map[string]string{"transformers": "hf", "ctranslate2": "ct2"}[name]
}

// findBest keeps the size that does the most users a second.
func (c *contestant) findBest(ctx context.Context, sizes []int, seconds float64, users int) error {
	best := 0.0
	for _, size := range sizes {
		rate, _, err := c.rate(ctx, size, seconds, users)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.2f users/s in batches of %d\n", c.name, rate, size)
		if rate > best {
			best, c.batch = rate, size
		}
	}
	return nil
}

func (c *contestant) measure(ctx context.Context, seconds float64, users int) error {
	rate, _, err := c.rate(ctx, c.batch, seconds, users)
	if err != nil {
		return err
	}
	_, alone, err := c.rate(ctx, 1, seconds/2, users)
	c.rates, c.alone = append(c.rates, rate), append(c.alone, alone)
	return err
}

// rate recommends in batches of a size for about so many seconds: users a second, and
// the median of the batches' milliseconds.
func (c *contestant) rate(ctx context.Context, size int, seconds float64, users int) (rate, median float64, err error) {
	first, err := c.engine.recommend(size, size) // also warms up
	if err != nil {
		return 0, 0, err
	}
	batches := int(seconds/first.durations[0].Seconds()) + 1
	batches = min(max(batches, 2), users/size)
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	got, err := c.engine.recommend(batches*size, size)
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
