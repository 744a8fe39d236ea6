package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/safetensors"
	"genrec/model/tokens"
)

// Tolerances of the comparison with PyTorch and transformers.
const (
	logitsTolerance   = 1e-4 // absolute
	gradientTolerance = 1e-3 // largest difference over the largest element of a tensor
	scoreTolerance    = 1e-4 // nats
)

// TestParity compares this package with transformers' BartForConditionalGeneration on
// the cases that model/parity/make.py writes: those in testdata, or those in the
// folder that GENREC_PARITY names (make parity). It saves each model again, for
// model/parity/check.py to read.
func TestParity(t *testing.T) {
	root := cmp.Or(os.Getenv("GENREC_PARITY"), filepath.Join("testdata", "parity"))
	cases, err := filepath.Glob(filepath.Join(root, "*", "expected.safetensors"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases in %s (%v): make them with model/parity/make.py", root, err)
	}
	var total parity
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			ownThread(t)
			p := comparePyTorch(t, dir)
			t.Log(p)
			total.add(p)
		})
	}
	fmt.Println(total)
}

// parity is the difference between two implementations.
type parity struct {
	logits, gradients   float64
	beamsEqual, beamsOf int
}

func (p *parity) add(q parity) {
	p.logits, p.gradients = max(p.logits, q.logits), max(p.gradients, q.gradients)
	p.beamsEqual, p.beamsOf = p.beamsEqual+q.beamsEqual, p.beamsOf+q.beamsOf
}

func (p parity) String() string {
	return fmt.Sprintf("parity logits_max_abs=%.1e grad_max_rel=%.1e beams_equal=%d/%d", p.logits, p.gradients, p.beamsEqual, p.beamsOf)
}

func comparePyTorch(t *testing.T, dir string) (p parity) {
	want := readExpected(t, filepath.Join(dir, "expected.safetensors"))
	m, err := Load(dir, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	if os.Getenv("GENREC_PARITY") != "" {
		saved := filepath.Join(dir, "saved")
		if err := errors.Join(os.MkdirAll(saved, 0o755), m.Save(saved)); err != nil {
			t.Fatal(err)
		}
	}
	batch := want.batch()
	p.logits, p.gradients = compareGradients(t, m, want, batch)
	p.beamsEqual, p.beamsOf = compareBeams(t, m, want, batch)
	return p
}

func compareGradients(t *testing.T, m *Model, want expected, batch examples.Batch) (logits, gradients float64) {
	m.weights.requireGrad(true)
	defer m.weights.requireGrad(false)
	p := newPass(m.device, newPlainBackend())
	defer p.Free()
	targets := want.targets()
	ids := p.Ints(targets.Inputs, int64(batch.Rows), int64(targets.Length))
	states, _, _ := m.network.decode(p, ids, m.network.encode(p, m.network.upload(p, batch, padded(batch))))
	logits = largestDifference(m.network.logits(p, states).Floats(), want["logits"].Data)
	if logits > logitsTolerance {
		t.Errorf("a logit differs by %.1e, tolerance %.0e", logits, logitsTolerance)
	}

	words := float64(len(targets.Labels) - count(targets.Labels, examples.IgnoredLabel))
	generative, _ := m.network.losses(p, batch, targets, false)
	loss := p.Scale(generative, 1/words)
	if got, want := loss.Floats()[0], want["loss"].Data[0]; math.Abs(float64(got-want)) > 1e-5 {
		t.Errorf("the loss is %.6f, PyTorch's %.6f", got, want)
	}
	loss.Backward()
	names := m.weights.trainedNames()
	steepest := 0.0
	for _, name := range names {
		if want["grad."+name].Data == nil {
			t.Fatalf("PyTorch has no gradient of %s", name)
		}
		steepest = max(steepest, largest(want["grad."+name].Data))
	}
	for i, weight := range m.weights.trained() {
		expected := want["grad."+names[i]].Data
		// The gradients of the biases of keys are rounding errors, since softmax cancels those biases.
		scale := max(largest(expected), 1e-3*steepest)
		difference := largestDifference(p.Grad(weight).Floats(), expected) / scale
		if gradients = max(gradients, difference); difference > gradientTolerance {
			t.Errorf("the gradient of %s differs by %.1e of its largest element, tolerance %.0e", names[i], difference, gradientTolerance)
		}
	}
	return logits, gradients
}

// compareBeams counts the requests with the same 20 beams in the same order with the same scores.
func compareBeams(t *testing.T, m *Model, want expected, batch examples.Batch) (equal, of int) {
	tree, err := tokens.NewTrie(terminated(want.texts()))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, Beams, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer searcher.Close()
	var inputs []examples.Input
	for row, length := range batch.Lengths {
		from := row * batch.Length
		to := from + int(length)
		inputs = append(inputs, examples.Input{Tokens: batch.Tokens[from:to], Users: batch.Users[from:to], Items: batch.Items[from:to]})
	}
	found, err := searcher.Search(t.Context(), inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	for row, candidates := range found {
		beams, scores := want["beams"].Data[row*Beams:][:Beams], want["scores"].Data[row*Beams:][:Beams]
		same := len(candidates) == Beams
		for place := 0; same && place < Beams; place++ {
			c := candidates[place]
			same = c.Leaf == int(beams[place]) && math.Abs(c.LogProb-float64(scores[place])) <= scoreTolerance
		}
		if same {
			equal++
		} else {
			t.Errorf("request %d: the beams are\n%v, transformers'\n%v\n%v", row, candidates, beams, scores)
		}
	}
	return equal, len(found)
}

func count(ids []int64, id int64) (n int) {
	for _, x := range ids {
		if x == id {
			n++
		}
	}
	return n
}

func largest(a []float32) float64 { return largestDifference(a, make([]float32, len(a))) }

func largestDifference(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	largest := 0.0
	for i := range a {
		if d := math.Abs(float64(a[i]) - float64(b[i])); d > largest || math.IsNaN(d) {
			largest = d
		}
	}
	return largest
}

// expected holds the results of PyTorch by name (see model/parity/make.py).
type expected map[string]safetensors.Tensor

func readExpected(t *testing.T, path string) expected {
	t.Helper()
	stored, err := safetensors.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e := make(expected, len(stored))
	for _, s := range stored {
		e[s.Name] = s
	}
	return e
}

func (e expected) ints(name string) []int64 {
	var ints []int64
	for _, x := range e[name].Data {
		ints = append(ints, int64(x))
	}
	return ints
}

func (e expected) batch() examples.Batch {
	shape := e["tokens"].Shape
	return examples.Batch{
		Rows: int(shape[0]), Length: int(shape[1]), Depth: 1,
		Tokens: e.ints("tokens"), Users: e.ints("users"), Items: e.ints("items"), Lengths: e.ints("lengths"),
	}
}

// targets removes the padding of the labels, for examples.NewTargets to shift them.
func (e expected) targets() examples.Targets {
	length := int(e["labels"].Shape[1])
	var all []examples.Example
	for row := range slices.Chunk(e.ints("labels"), length) {
		all = append(all, examples.Example{Labels: slices.DeleteFunc(row, func(id int64) bool { return id == examples.IgnoredLabel })})
	}
	return examples.NewTargets(all)
}

func (e expected) texts() [][]int64 {
	var texts [][]int64
	for row := range slices.Chunk(e.ints("texts"), int(e["texts"].Shape[1])) {
		texts = append(texts, slices.DeleteFunc(row, func(id int64) bool { return id < 0 }))
	}
	return texts
}
