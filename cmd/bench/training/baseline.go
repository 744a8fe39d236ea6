package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model/examples"
	"genrec/model/safetensors"
)

// baseline trains with transformers in a Python process.
type baseline struct{ *measure.Baseline }

func startBaseline(ctx context.Context, s settings, modelDir, batchFile string) (baseline, error) {
	b, err := measure.StartBaseline(ctx, "transformers", s.python, s.script, s.threads, map[string]any{
		"model": modelDir, "batches": batchFile, "threads": s.threads, "device": s.device,
		"learning_rate": learningRate, "weight_decay": weightDecay, "clip_norm": clipNorm,
	})
	return baseline{b}, err
}

// train trains on the first n batches.
func (b baseline) train(n int) (time.Duration, []float64, error) {
	batches := make([]int, n)
	for i := range batches {
		batches[i] = i
	}
	var response struct {
		Seconds float64
		Losses  []float64
	}
	err := b.Call(map[string]any{"run": batches}, &response)
	return time.Duration(response.Seconds * float64(time.Second)), response.Losses, err
}

// writeBatches writes the batches for the baseline.
func writeBatches(path string, batches [][]examples.Example) error {
	var tensors []safetensors.Tensor
	for i, batch := range batches {
		b, t := examples.NewBatch(examples.Inputs(batch)), examples.NewTargets(batch)
		rows := int64(b.Rows)
		for _, part := range []struct {
			name  string
			data  []int64
			shape []int64
		}{
			{"tokens", b.Tokens, []int64{rows, int64(b.Length)}},
			{"users", b.Users, []int64{rows, int64(b.Length)}},
			{"items", b.Items, []int64{rows, int64(b.Length)}},
			{"lengths", b.Lengths, []int64{rows}},
			{"labels", t.Labels, []int64{rows, int64(t.Length)}},
		} {
			data := make([]float32, len(part.data)) // exact, since ids are far below 2^24
			for j, x := range part.data {
				data[j] = float32(x)
			}
			tensors = append(tensors, safetensors.Tensor{Name: fmt.Sprintf("%d.%s", i, part.name), Shape: part.shape, Data: data})
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the batches: %w", err)
	}
	if err := errors.Join(safetensors.Write(file, tensors), file.Close()); err != nil {
		return fmt.Errorf("write the batches to %s: %w", path, err)
	}
	return nil
}
