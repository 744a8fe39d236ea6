package model

import (
	"errors"
	"fmt"
	"math"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// TrainerConfig are the settings of one training stage.
type TrainerConfig struct {
	// Steps is the number of optimizer steps of the stage; the learning rate warms
	// up over the first WarmUp share of them and falls to zero at the end.
	Steps        int
	LearningRate float64
	WarmUp       float64
	WeightDecay  float64
	// ClipNorm bounds the norm of the gradients of all weights together.
	ClipNorm float64
	// Seed of the dropout masks.
	Seed int64
}

// Trainer runs optimizer steps on a model that the caller's goroutine owns.
type Trainer struct {
	config    TrainerConfig
	model     *Model
	optimizer *tensor.AdamW
	step      int
}

// ErrDiverged says that the loss is no longer a number.
var ErrDiverged = errors.New("training diverged")

const adamBeta1, adamBeta2 = 0.9, 0.999

// NewTrainer starts a stage with a fresh AdamW state.
func NewTrainer(m *Model, c TrainerConfig) (t *Trainer, err error) {
	defer tensor.Catch(&err)
	libtorch.Seed(c.Seed)
	m.weights.requireGrad(true)
	optimizer := tensor.NewAdamW(m.weights.all(), c.LearningRate, adamBeta1, adamBeta2, c.WeightDecay)
	return &Trainer{config: c, model: m, optimizer: optimizer}, nil
}

// Step learns from a batch and returns its mean loss per target token, in nats.
func (t *Trainer) Step(batch []examples.Example) (loss float64, err error) {
	defer tensor.Catch(&err)
	g := newGraph(t.model.device, t.model.Config.Dropout)
	defer g.Free()

	inputs := make([]examples.Input, len(batch))
	for i, e := range batch {
		inputs[i] = e.Input
	}
	t.optimizer.ZeroGrad()
	l := t.model.network.loss(g, examples.NewBatch(inputs), examples.NewTargets(batch))
	loss = float64(l.Floats()[0])
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, fmt.Errorf("step %d of %d, loss %v: %w", t.step+1, t.config.Steps, loss, ErrDiverged)
	}
	l.Backward()
	t.clip(g)
	t.optimizer.Step(t.rate())
	t.step++
	return loss, nil
}

// rate is the learning rate of the current step: linear warm-up, linear decay.
func (t *Trainer) rate() float64 {
	warmUp := max(1, t.config.WarmUp*float64(t.config.Steps))
	done := float64(t.step)
	left := float64(t.config.Steps) - done
	return t.config.LearningRate * min((done+1)/warmUp, max(0, left)/max(1, float64(t.config.Steps)-warmUp))
}

// clip scales all gradients down together, without a look at their norm from the
// host.
func (t *Trainer) clip(g *graph) {
	defer withoutGradients()()
	var gradients, norms []*tensor.Tensor
	for _, weight := range t.model.weights.all() {
		if gradient := g.Grad(weight); gradient.Defined() {
			gradients = append(gradients, gradient)
			norms = append(norms, g.Norm(gradient))
		}
	}
	norm := g.Norm(g.Stack(norms...))
	scale := g.ClampMax(g.Scale(g.Reciprocal(norm), t.config.ClipNorm), 1)
	for _, gradient := range gradients {
		gradient.Multiply(scale)
	}
}

// Close frees the optimizer's state and turns gradients off.
func (t *Trainer) Close() (err error) {
	defer tensor.Catch(&err)
	t.optimizer.Drop()
	t.model.weights.requireGrad(false)
	return nil
}
