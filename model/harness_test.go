package model

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// ownThread locks the test to its OS thread, and fails it if tensors leak.
func ownThread(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	before := tensor.Live()
	t.Cleanup(func() {
		if leaked := tensor.Live() - before; leaked != 0 {
			t.Errorf("%d tensors were not dropped: a scope is not freed", leaked)
		}
		runtime.UnlockOSThread()
	})
}

// testDevice is the CPU unless GENREC_TEST_DEVICE names another device.
func testDevice(t *testing.T) Device {
	t.Helper()
	device, err := ParseDevice(cmp.Or(os.Getenv("GENREC_TEST_DEVICE"), "cpu"))
	if err != nil {
		t.Fatal(err)
	}
	return device
}

func encodePadded(p *pass, n *network, inputs []examples.Input) encoded {
	batch := examples.NewBatch(inputs)
	return n.encode(p, n.upload(p, batch, padded(batch)))
}

// cycles returns users who walk around rings of items from different starts: the last item of a sequence
// determines the next one.
func cycles(users, rings, ringSize, length int) []catalog.Sequence {
	sequences := make([]catalog.Sequence, users)
	for u := range sequences {
		s := catalog.Sequence{User: fmt.Sprintf("user-%d", u)}
		for i := range length {
			s.Items = append(s.Items, ringItem(u%rings, (u/rings+i)%ringSize))
		}
		sequences[u] = s
	}
	return sequences
}

func ringItem(ring, position int) string { return fmt.Sprintf("ring-%d/place-%d", ring, position) }

// testConfig is a shape that trains in seconds.
func testConfig(vocabulary, users, items int) Config {
	return Config{
		Vocabulary: vocabulary, Width: 32, MaxPositions: 512,
		EncoderLayers: 2, EncoderHeads: 2, EncoderFFN: 64,
		DecoderLayers: 2, DecoderHeads: 2, DecoderFFN: 64,
		Dropout: 0.1, InitStd: 0.02, Users: users, Items: items, NewestFirst: true,
	}
}

func newBundle(t *testing.T, sequences []catalog.Sequence, seed int64) Bundle {
	t.Helper()
	c, err := catalog.Build(sequences, catalog.Options{Text: catalog.Numbered, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := tokens.NewDigits()
	m, err := New(testConfig(vocabulary.Size(), c.Users(), c.Items()), seed, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Drop)
	return Bundle{Model: m, Catalog: c, Vocabulary: vocabulary}
}

func histories(c *catalog.Catalog, sequences []catalog.Sequence) []examples.History {
	all := make([]examples.History, len(sequences))
	for i, s := range sequences {
		all[i] = examples.History{User: c.UserIndex(s.User), Items: c.ItemIndices(s.Items)}
	}
	return all
}

// train runs pretraining and finetuning and returns the mean loss of each epoch.
func train(t *testing.T, b Bundle, sequences []catalog.Sequence, epochs int, seed int64) (pretrain, finetune []float64) {
	t.Helper()
	builder := examples.NewBuilder(examples.Config{
		Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: b.Model.Config.MaxTokens(),
	}).WithIDDropout(0.5, 0)
	data := histories(b.Catalog, sequences)
	const batchSize = 32
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	stage := func(makeExample func(examples.History, *rand.Rand) examples.Example) (losses []float64) {
		trainer, err := NewTrainer(b.Model, TrainerConfig{
			Steps: epochs * examples.BatchesPerEpoch(len(data), batchSize), LearningRate: 5e-3, WarmUp: 0.05, ClipNorm: 1, Seed: seed,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for range epochs {
			sum := 0.0
			for batch := range examples.Epoch(data, makeExample, batchSize, rng) {
				loss, err := trainer.Step(batch)
				if err != nil {
					t.Fatal(err)
				}
				sum += loss
			}
			losses = append(losses, sum/float64(examples.BatchesPerEpoch(len(data), batchSize)))
		}
		return losses
	}
	return stage(builder.Pretrain), stage(builder.Finetune)
}
