package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"genrec/model/libtorch"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// The backends for the device compute each layer, and a step of the beam search, like the plain one. With
// GENREC_TEST_DEVICE=cuda these are the CUDA kernels.
func TestBackendsMatchPlainBackend(t *testing.T) {
	ownThread(t)
	device := testDevice(t)
	config := testConfig(20, 5, 30)
	config.InitStd = 0.3
	m, err := New(config, 1, device)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	for precision, tolerance := range map[Precision]float64{Float32: 1e-4, BFloat16: 0.1} {
		converted, err := m.WithPrecision(precision)
		if err != nil {
			t.Fatal(err)
		}
		defer converted.Drop()
		chosen := newBackend(device, precision.kind(), 1)
		defer chosen.close()
		backends := []backend{chosen}
		if device == CPU {
			backends = append(backends, plainBackend{operations: simdOperations{}})
		}
		want := backendOutputs(converted, newPlainBackend())
		for _, b := range backends {
			got := backendOutputs(converted, b)
			if len(got) != len(want) {
				t.Fatalf("%T in %v: %d outputs, want %d", b, precision, len(got), len(want))
			}
			for name, values := range want {
				if difference := largestFiniteDifference(got[name], values); difference > tolerance {
					t.Errorf("%T in %v: %s differs by %.1e, tolerance %.0e", b, precision, name, difference, tolerance)
				}
			}
		}
	}
}

// backendOutputs computes each layer of a decoder on random inputs, by name.
func backendOutputs(m *Model, b backend) map[string][]float32 {
	defer libtorch.Inference()()
	p := newPass(m.device, b)
	defer p.Free()
	const rows, beamCount, cached, length = 3, 4, 5, 7
	rng := rand.New(rand.NewPCG(1, 2))
	width := int64(m.Config.Width)
	draw := func(shape ...int64) *tensor.Tensor {
		n := int64(1)
		for _, size := range shape {
			n *= size
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = rng.Float32()*2 - 1
		}
		return m.network.floats(p, data, shape...)
	}
	mask := func(shape ...int64) *tensor.Tensor { // hides every third position, and not the first
		values := make([]float32, shape[0]*shape[1]*shape[2]*shape[3])
		for i := range values {
			if i%int(shape[3])%3 == 2 {
				values[i] = float32(math.Inf(-1))
			}
		}
		return m.network.floats(p, values, shape...)
	}
	out := make(map[string][]float32)
	add := func(name string, t *tensor.Tensor) { out[name] = p.As(t, tensor.Float32).Floats() }
	layer := m.network.decoder[0]

	x := draw(rows, length, width)
	for _, causal := range []bool{false, true} {
		layout := noPadding
		if !causal {
			layout.mask = mask(rows, 1, 1, length)
		}
		y, kv := b.selfAttention(p, layer.selfAttention, x, layout, causal)
		name := fmt.Sprintf("self-attention, causal %t", causal)
		add(name, y)
		add(name+", keys", kv.keys)
		add(name+", values", kv.values)
	}
	beamStates := draw(rows, beamCount, width)
	cache := keysValues{keys: draw(rows, cached, width), values: draw(rows, cached, width)}
	y, cache := b.decodeStep(p, layer.selfAttention, beamStates, cache, mask(rows, 1, beamCount, cached+beamCount))
	add("decode step", y)
	add("decode step, keys", cache.keys)
	add("decode step, values", cache.values)
	kv := layer.crossAttention.project(p, x, rowLayout{mask: mask(rows, 1, 1, length)})
	add("cross-attention", b.crossAttention(p, layer.crossAttention, beamStates, kv))
	add("feed-forward", b.feedForward(p, layer.feedForward, x))

	logits := draw(rows*beamCount, int64(m.Config.Vocabulary))
	add("log-probabilities", b.logProbs(p, logits, p.Ints([]int64{0, 3, 4, 1, 1, 2, 5, 6, 7, 8, 9, 10}, rows*beamCount, 1)))
	items := p.Floats(p.As(draw(rows, 1000), tensor.Float32).Floats(), rows, 1000)
	add("top items", p.Gather(items, 1, b.topIndices(p, items, 10)))

	trie, err := tokens.NewTrie(shop(rng, 60, 2, 3))
	if err != nil {
		panic(err)
	}
	state := beams{nodes: p.Ints([]int64{0, 1, 2, 3, 3, 2, 1, 0, 1, 1, 0, 2}, rows, beamCount), scores: p.Floats(make([]float32, rows*beamCount), rows, beamCount)}
	expanded := b.expandBeams(p, &state, logits, newChildTables(p, trie), 8)
	add("scores of beams", expanded.scores)

	config := m.Config
	config.PathWeight = 0.3
	leafNetwork := *m.network
	leafNetwork.config = config
	pathScores := p.Floats([]float32{-1, -2, -3, -4, -1, -1.5, -2, -9, -2, -3, -4, float32(math.Inf(-1))}, rows, beamCount)
	ends := itemBeams{
		nodes: p.Ints([]int64{4, 5, 6, 7, 7, 6, 5, 4, 5, 6, 7, 0}, rows, beamCount), scores: pathScores, query: p.Select(x, 1, 0),
		proposals: p.Ints([]int64{0, 3, 29, 7, 7, 1}, rows, 2), keep: 6,
	}
	codes, err := tokens.NewTrie(codeTexts(30))
	if err != nil {
		panic(err)
	}
	found := b.expandLeaves(p, &leafNetwork, ends, p.itemsBelow(newChildTables(p, codes), codes))
	add("log-probabilities of leaves", found.logProbs)
	return out
}

// codeTexts are the texts of items in a tree of two levels of inner nodes, with two and three children,
// and as many leaves below each as it takes.
func codeTexts(items int) (texts [][]int64) {
	for i := range items {
		texts = append(texts, []int64{int64(8 + i%2), int64(10 + i/2%3), int64(13 + i/6)})
	}
	return texts
}

// largestFiniteDifference ignores places where both are -inf.
func largestFiniteDifference(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	largest := 0.0
	for i := range a {
		if a[i] != b[i] {
			if d := math.Abs(float64(a[i]) - float64(b[i])); d > largest || math.IsNaN(d) {
				largest = d
			}
		}
	}
	return largest
}
