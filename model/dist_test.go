package model

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"genrec/model/catalog"
	"genrec/model/dist"
	"genrec/model/examples"
	"genrec/model/safetensors"
)

// Two processes with one core each have the losses, weights and moments of one process with two, including
// dropout. The last batch is too small for both. With GENREC_TEST_DEVICE=cuda, two GPUs match one, without
// dropout, whose random numbers differ between GPUs.
func TestDistributedTrainingMatchesOneProcess(t *testing.T) {
	matchOneProcess(t, cycles(41, rings, ringSize, 6), 0)
}

// So it is if a step trains a sample of the items: all ranks draw the same one.
func TestDistributedSampledTrainingMatchesOneProcess(t *testing.T) {
	matchOneProcess(t, cycles(264, 24, 11, 6), 130)
}

func matchOneProcess(t *testing.T, sequences []catalog.Sequence, softmaxItems int) {
	t.Helper()
	const dir = "GENREC_TEST_DIR"
	p, isRank, err := dist.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	ownThread(t)
	if isRank {
		if err := p.SelectGPU(); err != nil {
			t.Fatal(err)
		}
		c := dist.DefaultConfig(p)
		c.Timeout = 30 * time.Second
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		g, err := dist.Join(ctx, cancel, c)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if g.Rank == 0 {
			err = g.Broadcast(nil)
		} else {
			_, err = g.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		trainPart(t, sequences, TrainerConfig{Cores: 1, Group: g, SoftmaxItems: softmaxItems}, filepath.Join(os.Getenv(dir), string(rune('0'+g.Rank))))
		return
	}
	t.Setenv(dir, t.TempDir())
	alone := filepath.Join(os.Getenv(dir), "alone")
	trainPart(t, sequences, TrainerConfig{Cores: 2, SoftmaxItems: softmaxItems}, alone)
	if err := dist.Launch(t.Context(), 2, dist.GracePeriod, "-test.run", "^"+t.Name()+"$"); err != nil {
		t.Fatal(err)
	}
	for _, rank := range []string{"0", "1"} {
		path := filepath.Join(os.Getenv(dir), rank)
		want, got := readLosses(t, alone), readLosses(t, path)
		if len(got) != len(want) || len(want) == 0 {
			t.Fatalf("rank %s ran %d steps, want %d", rank, len(got), len(want))
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-5*want[i] {
				t.Errorf("rank %s: the loss of step %d is %.7f, in one process %.7f", rank, i+1, got[i], want[i])
			}
		}
		compareStates(t, "rank "+rank, path, alone)
	}
}

// trainPart trains a model and writes the losses and the final checkpoint.
func trainPart(t *testing.T, sequences []catalog.Sequence, c TrainerConfig, path string) {
	t.Helper()
	b := newBundle(t, sequences, 1)
	if c.Group != nil && c.Group.Rank > 0 {
		b = newBundle(t, sequences, 2) // overwritten by rank 0's weights
	}
	if b.Model.device != CPU {
		b.Model.Config.Dropout = 0
	}
	builder := b.Builder()
	c.Steps, c.LearningRate, c.WarmUp, c.ClipNorm, c.WeightDecay, c.DenseLoss, c.Seed = 12, 5e-3, 0.05, 1, 0.01, 0.5, 7
	trainer, err := NewTrainer(b.Model, c)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if c.Group != nil {
		if err := trainer.Broadcast(0); err != nil {
			t.Fatal(err)
		}
	}
	var losses []float64
	rng := rand.New(rand.NewPCG(1, 1))
	for range 4 {
		for batch := range examples.Epoch(histories(b.Catalog, sequences), builder.PredictLast, 20, rng) {
			loss, err := trainer.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		}
	}
	data, err := json.Marshal(losses)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".json", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trainer.SaveCheckpoint(path + ".safetensors"); err != nil {
		t.Fatal(err)
	}
}

func readLosses(t *testing.T, path string) (losses []float64) {
	t.Helper()
	data, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &losses); err != nil {
		t.Fatal(err)
	}
	return losses
}

func compareStates(t *testing.T, who, got, want string) {
	t.Helper()
	read := func(path string) map[string][]float32 {
		tensors, err := safetensors.ReadFile(path + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[string][]float32)
		for _, s := range tensors {
			all[s.Name] = s.Data
		}
		return all
	}
	mine, theirs := read(got), read(want)
	for name, values := range theirs {
		// Softmax does not depend on a constant that is added to all scores: the gradient is rounding
		// error, which AdamW scales up.
		if strings.Contains(name, "k_proj.bias") {
			continue
		}
		for i, x := range values {
			if len(mine[name]) != len(values) || math.Abs(float64(mine[name][i]-x)) > 1e-6+1e-4*math.Abs(float64(x)) {
				t.Fatalf("%s: %s[%d] of %d differs from %v, which it is in one process", who, name, i, len(mine[name]), x)
			}
		}
	}
}
