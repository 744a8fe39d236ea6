package inference

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sugarme/gotch"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tensor"
	"genrec/model/tokens"
	"genrec/pkg/dataset"
)

// work is what every engine gets: a model, the texts of a catalog, and histories of users in
// random order.
type work struct {
	precision model.Precision
	config    model.Config
	model     *model.Model
	rounded   *model.Model // in the precision that is timed
	searcher  *model.Searcher
	tree      *tokens.Trie
	texts     [][]int64 // by leaf
	inputs    []examples.Input
	kind      tensor.Kind
	device    model.Device
}

const seed = 1

// prepare draws users of a dataset. The model has no tables of users and items: no peer
// could read them.
func prepare(s settings) (*work, error) {
	users, err := dataset.Read(s.data)
	if err != nil {
		return nil, err
	}
	var sequences []catalog.Sequence
	for _, u := range users {
		sequences = append(sequences, catalog.Sequence{User: u.ID, Items: u.Items})
	}
	items, err := catalog.Build(sequences, catalog.Options{Text: catalog.Padded, Seed: seed})
	if err != nil {
		return nil, err
	}
	vocabulary := tokens.NewDigits()
	w := &work{kind: tensor.Float32}
	if w.config, err = measure.Shape(s.shape, vocabulary.Size()); err != nil {
		return nil, err
	}
	w.config.NewestFirst = false // BART cannot count so
	builder := examples.NewBuilder(examples.Config{Catalog: items, Tokenizer: vocabulary, MaxTokens: w.config.MaxTokens()})
	for n := 1; n <= items.Items(); n++ {
		w.texts = append(w.texts, builder.ItemTokens(n))
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(sequences), func(i, j int) { sequences[i], sequences[j] = sequences[j], sequences[i] })
	for _, q := range sequences[:min(s.users, len(sequences))] {
		in := builder.ForInference(examples.History{User: items.UserIndex(q.User), Items: items.ItemIndices(q.Items)})
		clear(in.Users)
		clear(in.Items)
		w.inputs = append(w.inputs, in)
	}
	if len(w.inputs) < s.users {
		return nil, fmt.Errorf("%s has %d users, -users asks for %d", s.data, len(w.inputs), s.users)
	}
	return w, w.build(s.device, s.precision)
}

func (w *work) build(deviceName, precisionName string) error {
	precision, err := model.ParsePrecision(precisionName)
	if err != nil {
		return err
	}
	if w.device, err = model.ParseDevice(deviceName); err != nil {
		return err
	}
	if !precision.SupportedBy(w.device) {
		fmt.Printf("this CPU has no instructions for %v: genrec takes float32\n", precision)
		precision = model.Float32
	}
	w.precision = precision
	if w.tree, err = tokens.NewTrie(w.texts); err != nil {
		return err
	}
	if w.model, err = model.New(w.config, seed, w.device); err != nil {
		return err
	}
	if w.rounded, err = w.model.WithPrecision(precision); err != nil {
		return err
	}
	if precision == model.BFloat16 {
		w.kind = tensor.BFloat16
	}
	w.searcher, err = w.rounded.NewSearcher(w.tree, model.Beams, nil)
	return err
}

func (w *work) close() {
	w.searcher.Close()
	w.rounded.Drop()
	w.model.Drop()
}

func (w *work) meanTokens() float64 {
	n := 0
	for _, in := range w.inputs {
		n += in.Positions()
	}
	return float64(n) / float64(len(w.inputs))
}

// matmulSpeed is how many operations a second the device does in products of square
// matrices, in the precision that the model computes in.
func (w *work) matmulSpeed() (speed float64, err error) {
	defer tensor.Catch(&err)
	defer libtorch.SetGradients(libtorch.SetGradients(false))
	const times = 8
	side := int64(1024)
	s := tensor.Scope{Device: gotch.CPU}
	if w.device != model.CPU {
		s.Device, side = gotch.CudaBuilder(0), 8192
	}
	defer s.Free()
	rng := rand.New(rand.NewPCG(seed, 1)) // a GPU multiplies zeros faster
	square := func() *tensor.Tensor {
		data := make([]float32, side*side)
		for i := range data {
			data[i] = rng.Float32() - 0.5
		}
		return s.As(s.Floats(data, side, side), w.kind)
	}
	a, b := square(), square()
	multiply := func(times int) {
		var product *tensor.Tensor
		for range times {
			product = s.Linear(a, b, tensor.None)
		}
		s.As(s.Select(s.Select(product, 0, 0), 0, 0), tensor.Float32).Floats() // waits for a GPU
	}
	multiply(2)
	began := time.Now()
	multiply(times)
	return 2 * float64(side*side*side) * times / time.Since(began).Seconds(), nil
}

// here is this program's engine.
type here struct{ *work }

func (h here) recommend(users, batch int) (a answer, err error) {
	for part := range slices.Chunk(h.inputs[:users], batch) {
		began := time.Now()
		found, err := h.searcher.Search(context.Background(), part, 0)
		if err != nil {
			return a, err
		}
		a.durations = append(a.durations, time.Since(began))
		for _, candidates := range found {
			var items []int
			for _, c := range candidates {
				items = append(items, c.Leaf)
			}
			a.items = append(a.items, items)
		}
	}
	return a, nil
}

// there is a peer's engine.
type there struct{ *measure.Peer }

// startPeer gives a peer the model, the histories and the texts.
func (w *work) startPeer(ctx context.Context, s settings, name, dir string) (there, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return there{}, err
	}
	if err := w.model.Save(dir); err != nil {
		return there{}, fmt.Errorf("give %s the model: %w", name, err)
	}
	inputs := make([][]int64, len(w.inputs))
	for i, in := range w.inputs {
		inputs[i] = in.Tokens
	}
	engine, precision, _ := strings.Cut(name, ":")
	p, err := measure.StartPeer(ctx, name, s.python, filepath.Clean(s.script), s.threads, map[string]any{
		"engine": engine, "precision": cmp.Or(precision, "float32"), "model": dir, "inputs": inputs, "prefix": w.tree.Prefix, "texts": w.texts,
		"beams": model.Beams, "threads": s.threads, "device": s.device,
	})
	return there{p}, err
}

func (t there) recommend(users, batch int) (answer, error) {
	var got struct {
		Seconds []float64
		Items   [][]int
	}
	err := t.Ask(map[string]any{"users": users, "batch": batch}, &got)
	a := answer{items: got.Items}
	for _, s := range got.Seconds {
		a.durations = append(a.durations, time.Duration(s*float64(time.Second)))
	}
	return a, err
}
