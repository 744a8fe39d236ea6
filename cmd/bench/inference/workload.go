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
)

// workload is the input of all engines: a model, the token sequences of the items, and the histories of users
// in random order.
type workload struct {
	precision model.Precision
	config    model.Config
	model     *model.Model
	rounded   *model.Model // in the precision to measure
	searcher  *model.Searcher
	tree      *tokens.Trie
	texts     [][]int64 // tokens by item, which is the leaf in the trie
	inputs    []examples.Input
	kind      tensor.Kind
	device    model.Device
}

const seed = 1

// prepare samples users of a dataset. The model has no user and item embeddings, which the baselines do not
// support.
func prepare(s settings) (*workload, error) {
	data, err := measure.LoadData(s.data, s.shape, catalog.Padded)
	if err != nil {
		return nil, err
	}
	w := &workload{kind: tensor.Float32, config: data.Model}
	for n := 1; n <= data.Catalog.Items(); n++ {
		w.texts = append(w.texts, data.Builder.ItemTokens(n))
	}
	rng, sequences := rand.New(rand.NewPCG(seed, 0)), data.Sequences
	rng.Shuffle(len(sequences), func(i, j int) { sequences[i], sequences[j] = sequences[j], sequences[i] })
	for _, q := range sequences[:min(s.users, len(sequences))] {
		in := data.Builder.ForInference(data.History(q))
		clear(in.Users)
		clear(in.Items)
		w.inputs = append(w.inputs, in)
	}
	if len(w.inputs) < s.users {
		return nil, fmt.Errorf("%s has %d users, fewer than -users, %d", s.data, len(w.inputs), s.users)
	}
	return w, w.build(s.device, s.precision)
}

func (w *workload) build(deviceName, precisionName string) error {
	precision, err := model.ParsePrecision(precisionName)
	if err != nil {
		return err
	}
	if w.device, err = model.ParseDevice(deviceName); err != nil {
		return err
	}
	if !precision.SupportedBy(w.device) {
		fmt.Printf("this CPU does not support %v: genrec uses float32\n", precision)
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

func (w *workload) close() {
	w.searcher.Close()
	w.rounded.Drop()
	w.model.Drop()
}

func (w *workload) meanTokens() float64 {
	n := 0
	for _, in := range w.inputs {
		n += in.Positions()
	}
	return float64(n) / float64(len(w.inputs))
}

// matmulSpeed measures the floating-point operations per second of the device in multiplications of square
// matrices, in the precision of the model.
func (w *workload) matmulSpeed() (speed float64, err error) {
	defer tensor.Catch(&err)
	defer libtorch.SetGradients(libtorch.SetGradients(false))
	const times = 8
	side := int64(1024)
	s := tensor.Scope{Device: gotch.CPU}
	if w.device != model.CPU {
		s.Device, side = gotch.CudaBuilder(0), 8192
	}
	defer s.Free()
	rng := rand.New(rand.NewPCG(seed, 1)) // GPUs multiply zeros faster
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

// genrecEngine runs the beam search of this program.
type genrecEngine struct{ *workload }

func (e genrecEngine) recommend(users, batch int) (r recommendations, err error) {
	for part := range slices.Chunk(e.inputs[:users], batch) {
		began := time.Now()
		found, err := e.searcher.Search(context.Background(), part, 0)
		if err != nil {
			return r, err
		}
		r.durations = append(r.durations, time.Since(began))
		for _, candidates := range found {
			var items []int
			for _, c := range candidates {
				items = append(items, c.Leaf)
			}
			r.items = append(r.items, items)
		}
	}
	return r, nil
}

// baselineEngine runs in a Python process.
type baselineEngine struct{ *measure.Baseline }

// startBaseline starts a baseline with the model, the histories and the items.
func (w *workload) startBaseline(ctx context.Context, s settings, name, dir string) (baselineEngine, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return baselineEngine{}, err
	}
	if err := w.model.Save(dir); err != nil {
		return baselineEngine{}, fmt.Errorf("save the model for %s: %w", name, err)
	}
	inputs := make([][]int64, len(w.inputs))
	for i, in := range w.inputs {
		inputs[i] = in.Tokens
	}
	engine, precision, _ := strings.Cut(name, ":")
	b, err := measure.StartBaseline(ctx, name, s.python, filepath.Clean(s.script), s.threads, map[string]any{
		"engine": engine, "precision": cmp.Or(precision, "float32"), "model": dir, "inputs": inputs, "prefix": w.tree.Prefix, "texts": w.texts,
		"beams": model.Beams, "threads": s.threads, "device": s.device,
	})
	return baselineEngine{b}, err
}

func (e baselineEngine) recommend(users, batch int) (recommendations, error) {
	var got struct {
		Seconds []float64
		Items   [][]int
	}
	err := e.Call(map[string]any{"users": users, "batch": batch}, &got)
	r := recommendations{items: got.Items}
	for _, s := range got.Seconds {
		r.durations = append(r.durations, time.Duration(s*float64(time.Second)))
	}
	return r, err
}

// operations returns the mean number of floating-point operations per user, two for each multiplication in a
// matrix product. Padding and redundant work of an engine are not counted.
func (w *workload) operations() float64 {
	total := 0.0
	for _, in := range w.inputs {
		total += w.operationsFor(float64(in.Positions()))
	}
	return total / float64(len(w.inputs))
}

// operationsFor returns the operations for an input of s positions.
func (w *workload) operationsFor(s float64) float64 {
	c := w.config
	d := float64(c.Width)
	product := func(in, out float64) float64 { return 2 * in * out } // of one row

	encoder := s * (4*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.EncoderFFN)))
	crossKeysValues := s * 2 * product(d, d)
	// token is a decoder token that attends to t tokens, including itself.
	token := func(t float64) float64 {
		return 4*product(d, d) + 2*product(d, t) + 2*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.DecoderFFN))
	}
	logits := product(d, float64(c.Vocabulary))

	const marks = 2 // special tokens before the common prefix of the items
	prefix := marks + len(w.tree.Prefix)
	decoder, scored := 0.0, 1.0 // the first step scores one state
	for t := range prefix {
		decoder += token(float64(t + 1))
	}
	for depth := 1; depth < w.tree.MaxDepth; depth++ {
		decoder += model.Beams * token(float64(prefix+depth))
		scored += model.Beams
	}
	return float64(c.EncoderLayers)*encoder + float64(c.DecoderLayers)*(crossKeysValues+decoder) + scored*logits
}
