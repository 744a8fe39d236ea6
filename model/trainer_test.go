package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"genrec/model/examples"
	"genrec/model/libtorch"
)

func TestLearningRateWarmsUpAndDecays(t *testing.T) {
	trainer := Trainer{config: TrainerConfig{Steps: 100, LearningRate: 2, WarmUp: 0.05}}
	for step, want := range map[int]float64{0: 0.4, 4: 2, 5: 2, 52: 2 * 48. / 95, 99: 2. / 95, 100: 0} {
		trainer.step = step
		if got := trainer.rate(); math.Abs(got-want) > 1e-9 {
			t.Errorf("the rate of step %d is %.4f, want %.4f", step, got, want)
		}
	}
}

func TestClipBoundsTheNormOfAllGradients(t *testing.T) {
	ownThread(t)
	sequences := cycles(20, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	builder := examples.NewBuilder(examples.Config{Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: 512})
	var batch []examples.Example
	var inputs []examples.Input
	for _, h := range histories(b.Catalog, sequences) {
		e := builder.Finetune(h, rand.New(rand.NewPCG(1, 1)))
		batch, inputs = append(batch, e), append(inputs, e.Input)
	}
	norm := func(clip float64) float64 {
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, LearningRate: 1e-3, ClipNorm: clip})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		g := newGraph(b.Model.device, 0)
		defer g.Free()
		trainer.optimizer.ZeroGrad()
		b.Model.network.loss(g, examples.NewBatch(inputs), examples.NewTargets(batch)).Backward()
		trainer.clip(g)
		sum := 0.0
		for _, weight := range b.Model.weights.all() {
			for _, x := range g.Grad(weight).Floats() {
				sum += float64(x) * float64(x)
			}
		}
		return math.Sqrt(sum)
	}
	free := norm(1e6)
	if got := norm(free / 10); math.Abs(got-free/10) > 1e-3*free {
		t.Errorf("clipped to a tenth, the norm is %.5f, want %.5f", got, free/10)
	}
	if !libtorch.SetGradients(true) {
		t.Error("clipping left gradients turned off")
	}
}
