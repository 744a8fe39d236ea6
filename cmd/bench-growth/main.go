// Command bench-growth times the search over catalogs, histories, beams and batches of
// growing sizes, one at a time, with random weights and random codes.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"genrec/cmd/internal/bench"
	"genrec/model"
	"genrec/model/codes"
	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tokens"
	"genrec/model/trie"
)

type settings struct {
	shape, device string
	items         string
	rounds        int
}

func main() {
	var s settings
	flag.StringVar(&s.shape, "shape", "default", "a recipe's model, or bart-base")
	flag.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flag.StringVar(&s.items, "items", "10000,100000,1000000", "sizes of the catalog")
	flag.IntVar(&s.rounds, "rounds", 5, "searches of which the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-growth:", err)
		os.Exit(1)
	}
}

// point is a size of everything that a search depends on.
type point struct{ items, history, beams, batch int }

var base = point{items: 10_000, history: 16, beams: model.Beams, batch: 64}

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // the model's
	b, err := newBencher(s)
	if err != nil {
		return err
	}
	defer b.model.Drop()
	fmt.Printf("%s, %d parameters, %s; %+v but for what grows\n\n", s.shape, b.model.Parameters(), s.device, base)
	fmt.Println("| items | history | beams | batch | ms a user | MB of the trie | MB resident |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	var first, last float64
	for i, text := range strings.Split(s.items, ",") {
		items, err := strconv.Atoi(text)
		if err != nil || items < 1 {
			return fmt.Errorf("-items: %q is no size of a catalog", text)
		}
		p := base
		p.items = items
		if last, err = b.measure(ctx, p); err != nil {
			return err
		}
		if i == 0 {
			first = last
		}
	}
	for _, grows := range []struct {
		values []int
		set    func(p *point, value int)
	}{
		{[]int{8, 32, 60, 128}, func(p *point, n int) { p.history = n }},
		{[]int{5, 10, 50, 100}, func(p *point, n int) { p.beams = n }},
		{[]int{1, 4, 16, 256}, func(p *point, n int) { p.batch = n }},
	} {
		for _, value := range grows.values {
			p := base
			grows.set(&p, value)
			if _, err := b.measure(ctx, p); err != nil {
				return err
			}
		}
	}
	fmt.Printf("growth first_items_ms=%.3f last_items_ms=%.3f ratio=%.2f\n", first, last, last/first)
	return nil
}

// bencher has a model that knows no item but by its code.
type bencher struct {
	settings
	config     model.Config
	model      *model.Model
	vocabulary *tokens.Coded
	searcher   *model.Searcher
	at         point // of the searcher
	trieMB     float64
}

const (
	levels = 3 // of codes, enough for 10 million items
	seed   = 1
)

func newBencher(s settings) (*bencher, error) {
	vocabulary, err := tokens.NewCoded(levels, codes.Size)
	if err != nil {
		return nil, err
	}
	b := &bencher{settings: s, vocabulary: vocabulary}
	if b.config, err = bench.Shape(s.shape, vocabulary.Size()); err != nil {
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
	if _, err := b.searcher.Search(inputs, 0); err != nil { // warms up
		return 0, err
	}
	var times []float64
	for range b.rounds {
		began := time.Now()
		if _, err := b.searcher.Search(inputs, 0); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began).Seconds()*1e3/float64(p.batch))
	}
	milliseconds = bench.Median(times)
	fmt.Printf("| %d | %d | %d | %d | %.2f | %.0f | %.0f |\n", p.items, p.history, p.beams, p.batch, milliseconds, b.trieMB, residentMB())
	return milliseconds, nil
}

// prepare puts a catalog of random codes on the device.
func (b *bencher) prepare(p point) error {
	if b.searcher != nil {
		if err := b.searcher.Close(); err != nil {
			return err
		}
	}
	before := settledMB()
	tree, err := trie.Build(b.texts(p.items))
	if err != nil {
		return err
	}
	b.searcher, err = b.model.NewSearcher(tree, p.beams, nil)
	b.at, b.trieMB = p, max(0, settledMB()-before)
	return err
}

// texts are those of codes that fill three levels about evenly.
func (b *bencher) texts(items int) [][]int64 {
	side := int(math.Ceil(math.Cbrt(float64(items))))
	texts := make([][]int64, items)
	for i := range texts {
		code := codes.Code{i / (side * side), i / side % side, i % side}
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
			code := codes.Code{rng.IntN(codes.Size), rng.IntN(codes.Size), rng.IntN(codes.Size)}
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

// settledMB is the resident memory when what is not in use has been given back.
func settledMB() float64 {
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	return residentMB()
}

func residentMB() float64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0
	}
	return float64(resident) * float64(os.Getpagesize()) / (1 << 20)
}
