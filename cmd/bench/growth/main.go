// Package growth times the beam search, with random weights and codes, while the catalog, the
// history, the number of beams or the batch grows, one at a time.
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
	"strconv"
	"strings"
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
	flags.StringVar(&s.shape, "shape", "default", "a recipe's model, or bart-base")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.items, "items", "10000,100000,1000000", "sizes of the catalog")
	flags.IntVar(&s.rounds, "rounds", 5, "searches of which the median counts")
	flags.StringVar(&s.picture, "picture", "", "SVG `FILE` for the curves")
	flags.DurationVar(&s.soak, "soak", 0, "search for so long instead, and see whether memory grows")
	return func(ctx context.Context) error { return run(ctx, s) }
}

// point is a size of everything that a search depends on.
type point struct{ items, history, beams, batch int }

var base = point{items: 10_000, history: 16, beams: model.Beams, batch: 64}

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // the model's
	items, err := s.catalogs()
	if err != nil {
		return err
	}
	b, err := newBencher(s)
	if err != nil {
		return err
	}
	defer b.model.Drop()
	if s.soak > 0 {
		return b.soakFor(ctx, s.soak)
	}
	fmt.Printf("%s, %d parameters, %s; %+v but for what grows\n\n", s.shape, b.model.Parameters(), s.device, base)
	fmt.Println("| items | history | beams | batch | ms a user | MB of the trie | MB at work |")
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
		if err := picture(curves, s.picture); err != nil {
			return err
		}
	}
	times := curves[0].milliseconds
	first, last := times[0], times[len(times)-1]
	fmt.Printf("growth first_items_ms=%.3f last_items_ms=%.3f ratio=%.2f\n", first, last, last/first)
	return nil
}

func (s settings) catalogs() (sizes []int, err error) {
	for _, text := range strings.Split(s.items, ",") {
		items, err := strconv.Atoi(text)
		if err != nil || items < 1 {
			return nil, fmt.Errorf("-items: %q is no size of a catalog", text)
		}
		sizes = append(sizes, items)
	}
	return sizes, nil
}

// bencher has a model that knows no item but by its code.
type bencher struct {
	settings
	config     model.Config
	model      *model.Model
	vocabulary *tokens.Codes
	searcher   *model.Searcher
	at         point // of the searcher
	trieMB     float64
}

const (
	levels = 3 // of codes, enough for 10 million items
	seed   = 1
)

func newBencher(s settings) (*bencher, error) {
	vocabulary, err := tokens.NewCodes(levels, itemstats.CodebookSize)
	if err != nil {
		return nil, err
	}
	b := &bencher{settings: s, vocabulary: vocabulary}
	if b.config, err = measure.Shape(s.shape, vocabulary.Size()); err != nil {
		return nil, err
	}
	b.config.MaxPositions = max(b.config.MaxPositions, 512)
	b.config.StartFromNewest, b.config.StartFromMean = false, false // there is no table of items
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return nil, err
	}
	b.model, err = model.New(b.config, seed, device)
	return b, err
}

// measure prints a line of the table.
func (b *bencher) measure(ctx context.Context, p point) (milliseconds float64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if p.items != b.at.items || p.beams != b.at.beams {
		if err := b.prepare(p); err != nil {
			return 0, err
		}
	}
	inputs := b.draw(p)
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
	atWork := max(0, peak-before)
	var times []float64
	for range b.rounds {
		began := time.Now()
		if _, err := b.searcher.Search(ctx, inputs, 0); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began).Seconds()*1e3/float64(p.batch))
	}
	milliseconds = measure.Median(times)
	fmt.Printf("| %d | %d | %d | %d | %.2f | %.0f | %.0f |\n", p.items, p.history, p.beams, p.batch, milliseconds, b.trieMB, atWork)
	return milliseconds, nil
}

// prepare puts a catalog of random codes on the device.
func (b *bencher) prepare(p point) error {
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
	b.at, b.trieMB = p, max(0, after-before)
	return err
}

// texts are those of codes that fill three levels about evenly.
func (b *bencher) texts(items int) [][]int64 {
	side := int(math.Ceil(math.Cbrt(float64(items))))
	texts := make([][]int64, items)
	for i := range texts {
		code := itemstats.Code{i / (side * side), i / side % side, i % side}
		texts[i] = b.vocabulary.Encode(code.String())
	}
	return texts
}

// draw makes requests of random codes.
func (b *bencher) draw(p point) []examples.Input {
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
