package model

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model/examples"
)

// sampled trains a few steps on a sample of the items.
func sampled(t *testing.T, b Bundle, size, steps int, resume string) (*Trainer, []examples.Example) {
	t.Helper()
	builder, rng := b.Builder(), rand.New(rand.NewPCG(1, 1))
	trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 6, LearningRate: 5e-3, ClipNorm: 1, WeightDecay: 0.1, DenseLoss: 1, SoftmaxItems: size})
	if err != nil {
		t.Fatal(err)
	}
	if resume != "" {
		if err := trainer.Resume(resume, steps); err != nil {
			t.Fatal(err)
		}
		steps = 6 - steps
	}
	var batch []examples.Example
	for _, h := range histories(b.Catalog, cycles(6, 12, 11, 6)) {
		batch = append(batch, builder.PredictLast(h, rng))
	}
	for range steps {
		if _, err := trainer.Step(batch); err != nil {
			t.Fatal(err)
		}
	}
	return trainer, batch
}

// A step changes the rows of its sample, of which the batch's items are a part, and no others.
func TestStepTrainsTheSampleOnly(t *testing.T) {
	ownThread(t)
	b := newBundle(t, cycles(240, 12, 11, 6), 1)
	before := b.Model.network.items.Floats()
	size := 50
	trainer, batch := sampled(t, b, size, 1, "")
	defer trainer.Close()

	width := b.Model.Config.Width
	var changed []int64
	after := b.Model.network.items.Floats()
	for item := range b.Catalog.Items() + 1 {
		if !slices.Equal(before[item*width:][:width], after[item*width:][:width]) {
			changed = append(changed, int64(item))
		}
	}
	if want := slices.Sorted(slices.Values(trainer.sample.items)); !slices.Equal(changed, want) {
		t.Errorf("a step changed the items %v, want those of the sample %v", changed, want)
	}
	for _, e := range batch {
		for _, item := range append(slices.Clone(e.Items), e.Item) {
			if item != noID && !slices.Contains(changed, item) {
				t.Fatalf("item %d of the batch is not in the sample", item)
			}
		}
	}
}

// The sampled softmax estimates the exact one: its mean over many samples is close.
func TestSampledLossEstimatesTheExactLoss(t *testing.T) {
	ownThread(t)
	b := newBundle(t, cycles(240, 12, 11, 6), 1)
	loss := func(size int, seed int64) float64 {
		trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, ClipNorm: 1, DenseLoss: 1, SoftmaxItems: size, Seed: seed}) // learning rate 0
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for _, w := range trainer.workers {
			w.config.Dropout = 0
		}
		var batch []examples.Example
		for _, h := range histories(b.Catalog, cycles(3, 12, 11, 6)) {
			batch = append(batch, b.Builder().PredictLast(h, rand.New(rand.NewPCG(1, 1))))
		}
		l, err := trainer.Step(batch)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	exact, mean := loss(0, 0), 0.0
	const samples = 50
	for seed := range int64(samples) {
		mean += loss(40, seed) / samples
	}
	if math.Abs(mean-exact) > 0.01*exact {
		t.Errorf("the sampled loss is %.4f on average, the exact one %.4f", mean, exact)
	}
}

// A training that resumes from a checkpoint has the moments of all items, and comes to the same model.
func TestSampledTrainingResumes(t *testing.T) {
	ownThread(t)
	sequences := cycles(240, 12, 11, 6)
	whole, halves := newBundle(t, sequences, 1), newBundle(t, sequences, 1)
	size := 50
	trainer, _ := sampled(t, whole, size, 6, "")
	trainer.Close()

	path := filepath.Join(t.TempDir(), "checkpoint")
	trainer, _ = sampled(t, halves, size, 3, "")
	if err := trainer.SaveCheckpoint(path); err != nil {
		t.Fatal(err)
	}
	trainer.Close()
	trainer, _ = sampled(t, halves, size, 3, path)
	defer trainer.Close()
	for name, want := range whole.Model.weights.byName {
		if got := halves.Model.weights.byName[name]; !slices.Equal(got.Floats(), want.Floats()) {
			t.Errorf("%s differs after a resumed training", name)
		}
	}
}

func TestBatchWithTooManyItemsIsRefused(t *testing.T) {
	ownThread(t)
	b := newBundle(t, cycles(240, 12, 11, 6), 1)
	trainer, err := NewTrainer(b.Model, TrainerConfig{Steps: 1, DenseLoss: 1, SoftmaxItems: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var batch []examples.Example
	for _, h := range histories(b.Catalog, cycles(6, 12, 11, 6)) {
		batch = append(batch, b.Builder().PredictLast(h, rand.New(rand.NewPCG(1, 1))))
	}
	if _, err := trainer.Step(batch); err == nil || !strings.Contains(err.Error(), "a step trains at most 5") {
		t.Errorf("error %v, want one with the limit", err)
	}
}
