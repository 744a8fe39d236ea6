package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"genrec/model/examples"
	"genrec/model/safetensors"
)

// peer is the transformers side, a child process that reads and writes JSON lines.
type peer struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

func startPeer(ctx context.Context, s settings, modelDir, batchFile string) (*peer, error) {
	command := exec.CommandContext(ctx, s.python, s.peer)
	command.Stderr = os.Stderr
	command.Env = append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(s.threads))
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the transformers side: %w", err)
	}
	p := &peer{command, in, json.NewDecoder(out)}
	var answer struct{ Ready bool }
	err = p.ask(map[string]any{
		"model": modelDir, "batches": batchFile, "threads": s.threads, "device": s.device,
		"learning_rate": learningRate, "weight_decay": weightDecay, "clip_norm": clipNorm,
	}, &answer)
	return p, err
}

// train runs the first n batches.
func (p *peer) train(n int) (time.Duration, []float64, error) {
	batches := make([]int, n)
	for i := range batches {
		batches[i] = i
	}
	var answer struct {
		Seconds float64
		Losses  []float64
	}
	err := p.ask(map[string]any{"run": batches}, &answer)
	return time.Duration(answer.Seconds * float64(time.Second)), answer.Losses, err
}

func (p *peer) ask(question, answer any) error {
	err := json.NewEncoder(p.in).Encode(question)
	if err == nil {
		err = p.out.Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("ask the transformers side: %w", err)
	}
	return nil
}

func (p *peer) close() error { return errors.Join(p.in.Close(), p.command.Wait()) }

// writeBatches stores batches as the peer reads them.
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
			data := make([]float32, len(part.data)) // exact: ids are far below 2^24
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
