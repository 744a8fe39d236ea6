package tensor

import (
	lib "github.com/sugarme/gotch/libtch"
)

// Zero clears the elements in place.
func (t *Tensor) Zero() { inPlace(func(out *lib.Ctensor) { lib.AtgZero_(out, t.c) }) }

// Multiply multiplies in place.
func (t *Tensor) Multiply(factor *Tensor) {
	inPlace(func(out *lib.Ctensor) { lib.AtgMul_(out, t.c, factor.c) })
}

// Set copies the elements of another tensor of the same shape.
func (t *Tensor) Set(from *Tensor) {
	lib.AtCopy_(t.c, from.c)
	check()
}

// RequireGrad says whether gradients are recorded for a weight.
func (t *Tensor) RequireGrad(required bool) {
	var flag int32
	if required {
		flag = 1
	}
	inPlace(func(out *lib.Ctensor) { lib.AtgSetRequiresGrad(out, t.c, flag) })
}

// Grad is the gradient of a weight; it may be undefined.
func (s *Scope) Grad(weight *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgGrad(out, weight.c) })
}

// Backward computes the gradients of a scalar.
func (t *Tensor) Backward() {
	lib.AtBackward(t.c, 0, 0)
	check()
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2017).
type AdamW struct{ c lib.Coptimizer }

// NewAdamW makes an optimizer of the given weights.
func NewAdamW(weights []*Tensor, rate, beta1, beta2, weightDecay float64) *AdamW {
	a := &AdamW{lib.AtoAdamW(rate, beta1, beta2, weightDecay)}
	check()
	for _, w := range weights {
		lib.AtoAddParameter(a.c, w.c, 0)
		check()
	}
	return a
}

// Step applies the gradients with a learning rate.
func (a *AdamW) Step(rate float64) {
	lib.AtoSetLearningRate(a.c, rate)
	check()
	lib.AtoStep(a.c)
	check()
}

// ZeroGrad forgets the gradients.
func (a *AdamW) ZeroGrad() {
	lib.AtoZeroGrad(a.c)
	check()
}

// Drop frees the optimizer's state.
func (a *AdamW) Drop() { lib.AtoFree(a.c) }
