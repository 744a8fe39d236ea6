// Package growth measures the beam search, with random weights and codes, for growing catalogs, histories,
// numbers of beams and batches, one at a time. Its last line is
//
//	growth first_items_ms=… last_items_ms=… ratio=…
//
// for the smallest and the largest catalog, or with -soak
//
//	soak seconds=… users=… users_per_s=… early_mb=… late_mb=…
package growth

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/libtorch"
	"genrec/model/tokens"
	"genrec/test/harness"
)

type settings struct {
	shape, device string
	items         string
	rounds        int
	picture       string
	soak          time.Duration
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.shape, "shape", "default", "model of a recipe, or bart-base")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.items, "items", "10000,100000,1000000", "catalog sizes")
	flags.IntVar(&s.rounds, "rounds", 5, "searches to take the median of")
	flags.StringVar(&s.picture, "picture", "", "SVG `FILE` for a plot")
	flags.DurationVar(&s.soak, "soak", 0, "search for this duration instead and fail if memory grows")
	return func(ctx context.Context) error { return run(ctx, s) }
}

// point has the sizes of a search.
type point struct{ items, history, beams, batch int }

var base = point{items: 10_000, history: 16, beams: model.Beams, batch: 64}

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // a model belongs to one thread
	items, err := measure.Sizes("items", s.items)
	if err != nil {
		return err
	}
	b, err := newSearchBenchmark(s)
	if err != nil {
		return err
	}
	defer b.model.Drop()
	if s.soak > 0 {
		return b.runSoak(ctx, s.soak)
	}
	fmt.Printf("%s, %d parameters, %s; defaults %+v\n\n", s.shape, b.model.Parameters(), s.device, base)
	fmt.Println("| items | history | beams | batch | ms per user | trie, MB | search, MB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	var curves []curve
	for _, grows := range []struct {
		name   string
		values []int
		set    func(p *point, value int)
	}{
		{"items", items, func(p *point, n int) { p.items = n }},
		{"history", []int{8, 16, 32, 60, 128}, func(p *point, n int) { p.history = n }},
		{"beams", []int{5, 10, 20, 50, 100}, func(p *point, n int) { p.beams = n }},
		{"batch", []int{1, 4, 16, 64, 256}, func(p *point, n int) { p.batch = n }},
	} {
		c := curve{name: grows.name}
		for _, value := range grows.values {
			p := base
			grows.set(&p, value)
			milliseconds, err := b.measure(ctx, p)
			if err != nil {
				return err
			}
			c.sizes, c.milliseconds = append(c.sizes, float64(value)), append(c.milliseconds, milliseconds)
		}
		curves = append(curves, c)
	}
	if s.picture != "" {
		if err := plotCurves(curves, s.picture); err != nil {
			return err
		}
	}
	times := curves[0].milliseconds
	first, last := times[0], times[len(times)-1]
	fmt.Printf("growth first_items_ms=%.3f last_items_ms=%.3f ratio=%.2f\n", first, last, last/first)
	return nil
}

// searchBenchmark has a model without item embeddings, which identifies items by their codes.
type searchBenchmark struct {
	settings
	config     model.Config
	model      *model.Model
	vocabulary *tokens.Codes
	searcher   *model.Searcher
	current    point // of the searcher
	trieMB     float64
}

const (
	levels = 3 // of codes, sufficient for 10 million items
	seed   = 1
)

func newSearchBenchmark(s settings) (*searchBenchmark, error) {
	vocabulary, err := tokens.NewCodes(levels, itemstats.CodebookSize)
	if err != nil {
		return nil, err
	}
	b := &searchBenchmark{settings: s, vocabulary: vocabulary}
	if b.config, err = measure.Shape(s.shape, vocabulary.Size()); err != nil {
		return nil, err
	}
	b.config.MaxPositions = max(b.config.MaxPositions, 512)
	b.config.StartFromNewest, b.config.StartFromMean = false, false // without item embeddings
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return nil, err
	}
	b.model, err = model.New(b.config, seed, device)
	return b, err
}

// measure prints a row of the table and returns the median time per user.
func (b *searchBenchmark) measure(ctx context.Context, p point) (milliseconds float64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if p.items != b.current.items || p.beams != b.current.beams {
		if err := b.prepare(p); err != nil {
			return 0, err
		}
	}
	inputs := b.inputs(p)
	before, err := settledMB()
	if err != nil {
		return 0, err
	}
	if _, err := b.searcher.Search(ctx, inputs, 0); err != nil { // warms up
		return 0, err
	}
	peak, err := harness.PeakMemory()
	if err != nil {
		return 0, err
	}
	searchMB := max(0, peak-before)
	var times []float64
	for range b.rounds {
		began := time.Now()
		if _, err := b.searcher.Search(ctx, inputs, 0); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began).Seconds()*1e3/float64(p.batch))
	}
	milliseconds = measure.Median(times)
	fmt.Printf("| %d | %d | %d | %d | %.2f | %.0f | %.0f |\n", p.items, p.history, p.beams, p.batch, milliseconds, b.trieMB, searchMB)
	return milliseconds, nil
}

// prepare opens a searcher for a catalog.
func (b *searchBenchmark) prepare(p point) error {
	if b.searcher != nil {
		if err := b.searcher.Close(); err != nil {
			return err
		}
	}
	before, err := settledMB()
	if err != nil {
		return err
	}
	tree, err := tokens.NewTrie(b.texts(p.items))
	if err != nil {
		return err
	}
	if b.searcher, err = b.model.NewSearcher(tree, p.beams, nil); err != nil {
		return err
	}
	after, err := settledMB()
	b.current, b.trieMB = p, max(0, after-before)
	return err
}

// texts returns the token sequences of items whose codes are spread evenly over three levels.
func (b *searchBenchmark) texts(items int) [][]int64 {
	side := int(math.Ceil(math.Cbrt(float64(items))))
	texts := make([][]int64, items)
	for i := range texts {
		code := itemstats.Code{i / (side * side), i / side % side, i % side}
		texts[i] = b.vocabulary.Encode(code.String())
	}
	return texts
}

// inputs returns histories of random codes.
func (b *searchBenchmark) inputs(p point) []examples.Input {
	rng := rand.New(rand.NewPCG(seed, uint64(p.history)))
	inputs := make([]examples.Input, p.batch)
	for i := range inputs {
		in := &inputs[i]
		for range p.history {
			code := itemstats.Code{rng.IntN(itemstats.CodebookSize), rng.IntN(itemstats.CodebookSize), rng.IntN(itemstats.CodebookSize)}
			word := b.vocabulary.Encode(code.String())
			positions := len(word)
			if b.config.WordPositions {
				positions = 1
			}
			in.Tokens = append(in.Tokens, word...)
			in.Users = append(in.Users, make([]int64, positions)...)
			in.Items = append(in.Items, make([]int64, positions)...)
		}
	}
	return inputs
}

// settledMB releases unused memory, resets the peak, and returns the resident memory in MiB.
func settledMB() (float64, error) {
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	if err := harness.ResetPeakMemory(); err != nil {
		return 0, err
	}
	return harness.ResidentMemory(os.Getpid())
}
