package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"genrec/model/examples"
)

func TestLearningRateWarmsUpAndDecays(t *testing.T) {
	trainer := Trainer{config: TrainerConfig{Steps: 100, LearningRate: 2, WarmUp: 0.05}}
	for step, want := range map[int]float64{0: 0.4, 4: 2, 5: 2, 52: 2 * 48. / 95, 99: 2. / 95, 100: 0} {
		trainer.step = step
		if got := trainer.LearningRate(); math.Abs(got-want) > 1e-9 {
			t.Errorf("the rate of step %d is %.4f, want %.4f", step, got, want)
		}
	}
}

// libtorch's optimizer is AdamW, and gradients are clipped before it: checked by the formulas.
func TestStepIsAdamWWithClippedGradients(t *testing.T) {
	ownThread(t)
	const rate, decay, epsilon = 1e-2, 0.1, 1e-8
	sequences := cycles(20, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	builder := examples.NewBuilder(examples.Config{Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: 512})
	var batch []examples.Example
	for _, h := range histories(b.Catalog, sequences) {
		batch = append(batch, builder.Finetune(h, rand.New(rand.NewPCG(1, 1))))
	}
	for _, clip := range []float64{1e6, 0.01} {
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, LearningRate: rate, WeightDecay: decay, ClipNorm: clip})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trainer.gradients(batch); err != nil {
			t.Fatal(err)
		}
		gradients, before := summed(trainer), [][]float32{}
		sum := 0.0
		for i, weight := range b.Model.weights.trained() {
			before = append(before, weight.Floats())
			for _, x := range gradients[i] {
				sum += x * x
			}
		}
		if err := trainer.update(); err != nil {
			t.Fatal(err)
		}
		scale := min(1, clip/math.Sqrt(sum))
		for i, weight := range b.Model.weights.trained() {
			for j, got := range weight.Floats() {
				gradient, w := scale*gradients[i][j], float64(before[i][j])
				// After one step the bias-corrected moments are the gradient and its square.
				want := w - rate*decay*w - rate*gradient/(math.Abs(gradient)+epsilon)
				near := math.Abs(float64(got)-want) <= 1e-4*rate+1e-6*math.Abs(want)
				if !near && math.Abs(gradient) > 1e-6 { // below, epsilon decides
					t.Fatalf("clip %v, %s[%d]: %.7f became %.7f, AdamW gives %.7f (gradient %g)",
						clip, b.Model.weights.trainedNames()[i], j, w, got, want, gradient)
				}
			}
		}
		trainer.Close()
	}
}

// summed returns the gradients summed over all workers, by trained weight.
func summed(trainer *Trainer) [][]float64 {
	scope := newScope(trainer.model.device)
	defer scope.Free()
	sums := make([][]float64, len(trainer.model.weights.trained()))
	for _, w := range trainer.workers {
		for i, weight := range w.weights.trained() {
			gradient := scope.Grad(weight)
			if !gradient.Defined() {
				continue
			}
			if sums[i] == nil {
				sums[i] = make([]float64, weight.Elements())
			}
			for j, x := range gradient.Floats() {
				sums[i][j] += float64(x)
			}
		}
	}
	return sums
}

// The gradients of a batch do not depend on its micro-batches.
func TestGradientsOfMicroBatches(t *testing.T) {
	ownThread(t)
	sequences := cycles(20, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	builder := examples.NewBuilder(examples.Config{Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: 512})
	var batch []examples.Example
	for _, h := range histories(b.Catalog, sequences) {
		batch = append(batch, builder.Finetune(h, rand.New(rand.NewPCG(1, 1))))
	}
	gradients := func(maxPositions int) (float64, [][]float64) {
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, DenseLoss: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for _, w := range trainer.workers {
			w.maxPositions, w.config.Dropout = maxPositions, 0
		}
		loss, err := trainer.gradients(batch)
		if err != nil {
			t.Fatal(err)
		}
		return loss, summed(trainer)
	}
	loss, want := gradients(1 << 20)
	for _, most := range []int{1, 50} {
		got, sums := gradients(most)
		if math.Abs(got-loss) > 1e-5 {
			t.Errorf("micro-batches of at most %d positions: loss %.7f, want %.7f", most, got, loss)
		}
		for i, name := range b.Model.weights.trainedNames() {
			for j := range want[i] {
				if math.Abs(sums[i][j]-want[i][j]) > 1e-5 {
					t.Fatalf("micro-batches of at most %d positions: gradient of %s[%d] is %.7f, want %.7f", most, name, j, sums[i][j], want[i][j])
				}
			}
		}
	}
}

func TestMicroBatchesAreBounded(t *testing.T) {
	var batch []examples.Example
	for n := range 20 {
		batch = append(batch, examples.Example{Input: examples.Input{Users: make([]int64, 5+3*n)}})
	}
	for _, most := range []int{1, 62, 100, 1000, 10_000} {
		rows := 0
		for _, part := range microBatches(batch, most) {
			longest := part[len(part)-1].Positions()
			if len(part) == 0 || len(part) > 1 && len(part)*longest > most {
				t.Errorf("at most %d positions: a micro-batch has %d rows of %d", most, len(part), longest)
			}
			if rows += len(part); rows < len(batch) && (len(part)+1)*batch[rows].Positions() <= most {
				t.Errorf("at most %d positions: row %d would have fit", most, rows)
			}
		}
		if rows != len(batch) {
			t.Errorf("at most %d positions: %d rows in micro-batches, want %d", most, rows, len(batch))
		}
	}
}

func TestSplitBalancesTokens(t *testing.T) {
	var batch []examples.Example
	for n := range 20 {
		batch = append(batch, examples.Example{Input: examples.Input{Users: make([]int64, 5+3*n)}})
	}
	for _, c := range []struct{ rows, workers, parts int }{{20, 1, 1}, {20, 2, 2}, {20, 4, 4}, {3, 4, 2}, {1, 2, 1}} {
		parts := split(batch[:c.rows], c.workers)
		rows, most := 0, 0
		for _, part := range parts {
			rows += len(part)
			most = max(most, examples.CountTokens(part))
			if len(part) == 0 {
				t.Errorf("%d rows for %d workers: an empty part", c.rows, c.workers)
			}
		}
		fair := examples.CountTokens(batch[:c.rows])/len(parts) + examples.CountTokens(batch[c.rows-1:c.rows]) // no row is cut
		if rows != c.rows || len(parts) != c.parts || most > fair {
			t.Errorf("%d rows for %d workers: %d parts of %d rows, the largest of %d tokens; want %d parts of at most %d",
				c.rows, c.workers, len(parts), rows, most, c.parts, fair)
		}
	}
}

// Matrix products in bfloat16 change a training only a little.
func TestBFloat16TrainsAboutTheSame(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, rings, ringSize, 6)
	losses := func(bfloat16 bool) (all []float64) {
		b := newBundle(t, sequences, 1)
		builder := examples.NewBuilder(examples.Config{Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: 512})
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 100, LearningRate: 1e-3, ClipNorm: 1, BFloat16: bfloat16})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for batch := range examples.Epoch(histories(b.Catalog, sequences), builder.Finetune, 20, rand.New(rand.NewPCG(1, 1))) {
			loss, err := trainer.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, loss)
		}
		return all
	}
	wide, narrow := losses(false), losses(true)
	same := true
	for i := range wide {
		same = same && wide[i] == narrow[i]
		if math.Abs(wide[i]-narrow[i]) > 0.02*wide[i] {
			t.Errorf("step %d: loss %.4f in bfloat16, %.4f in float32", i+1, narrow[i], wide[i])
		}
	}
	if same {
		t.Error("the losses are equal to the last bit: bfloat16 was not used")
	}
}

// The dense head's part of the loss is the cross-entropy of its log-probabilities in inference.
func TestDenseLossIsCrossEntropy(t *testing.T) {
	ownThread(t)
	const share = 0.5
	sequences := cycles(20, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	ranker, err := NewRanker(b, RankerConfig{Beams: b.Catalog.Items(), Items: TopItems})
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	b.Model.Config.Dropout = 0
	var batch []examples.Example
	for _, h := range histories(b.Catalog, sequences) {
		batch = append(batch, ranker.Builder().PredictLast(h, rand.New(rand.NewPCG(1, 1))))
	}
	found := fuse(t, ranker.searcher, examples.Inputs(batch), nil, denseOnly)
	entropy := 0.0
	for row, candidates := range found {
		for _, c := range candidates {
			if int64(c.Leaf)+1 == batch[row].Item {
				entropy -= c.LogProb / float64(len(batch))
			}
		}
	}
	var losses []float64
	for _, dense := range []float64{0, share} {
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, LearningRate: 1e-3, ClipNorm: 1, DenseLoss: dense})
		if err != nil {
			t.Fatal(err)
		}
		loss, err := trainer.gradients(batch)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
		trainer.Close()
	}
	if got := losses[1] - losses[0]; math.Abs(got-share*entropy) > 1e-4 || entropy < 1 {
		t.Errorf("the dense head adds %.5f to the loss, want %v of its cross-entropy %.5f", got, share, entropy)
	}
}
