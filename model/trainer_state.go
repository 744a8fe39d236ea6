package model

import (
	"fmt"

	"genrec/model/safetensors"
	"genrec/model/tensor"
)

// Prefixes of the optimizer's moments beside the weights in a stored state.
const (
	meanPrefix   = "mean."
	squarePrefix = "square."
)

// SaveCheckpoint writes what Resume needs to go on as if nothing had happened: the weights and
// the optimizer's moments.
func (t *Trainer) SaveCheckpoint(path string) (err error) {
	defer tensor.Catch(&err)
	return writeTensors(path, t.state())
}

// Resume reads what SaveCheckpoint wrote after a number of steps.
func (t *Trainer) Resume(path string, steps int) (err error) {
	defer tensor.Catch(&err)
	stored, err := safetensors.ReadFile(path)
	if err != nil {
		return err
	}
	defer withoutGradients()()
	state := make(map[string]*tensor.Tensor)
	for _, s := range t.state() {
		state[s.name] = s.Tensor
	}
	if len(stored) != len(state) {
		return fmt.Errorf("resume training from %s: %d tensors, this training has %d", path, len(stored), len(state))
	}
	g := newGraph(t.model.device)
	defer g.Free()
	for _, s := range stored {
		into, known := state[s.Name]
		if !known {
			return fmt.Errorf("resume training from %s: tensor %q has no place in this training", path, s.Name)
		}
		if err := overwrite(s.Name, into, g.Floats(s.Data, s.Shape...)); err != nil {
			return fmt.Errorf("resume training from %s: %w", path, err)
		}
	}
	t.optimizer.SetSteps(steps)
	t.step = steps
	return nil
}

// Share gives all ranks the state of rank 0, as it was after a number of steps.
func (t *Trainer) Broadcast(steps int) (err error) {
	defer tensor.Catch(&err)
	var all []*tensor.Tensor
	for _, s := range t.state() {
		all = append(all, s.Tensor)
	}
	if err := t.config.Group.BroadcastTensors(all); err != nil {
		return fmt.Errorf("share the state of the training: %w", err)
	}
	t.optimizer.SetSteps(steps)
	t.step = steps
	return nil
}

func (t *Trainer) state() []namedTensor {
	state := t.model.weights.named()
	for i, name := range t.model.weights.trainedNames() {
		state = append(state, namedTensor{meanPrefix + name, t.means[i]}, namedTensor{squarePrefix + name, t.squares[i]})
	}
	return state
}
