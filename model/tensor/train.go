package tensor

import (
	"slices"
	"unsafe"

	"github.com/sugarme/gotch"
	lib "github.com/sugarme/gotch/libtch"

	"genrec/model/libtorch"
)

// Zero clears the elements in place.
func (t *Tensor) Zero() { inPlace(func(out *lib.Ctensor) { lib.AtgZero_(out, t.c) }) }

// Set copies the elements of another tensor of the same shape.
func (t *Tensor) Set(from *Tensor) {
	lib.AtCopy_(t.c, from.c)
	check()
}

// SetRows overwrites the rows of x (N, D) with the given numbers (R) by those of from (R, D).
func (t *Tensor) SetRows(rows, from *Tensor) {
	inPlace(func(out *lib.Ctensor) { lib.AtgIndexCopy_(out, t.c, 0, rows.c, from.c) })
}

// SetInts overwrites the elements of an int64 tensor (N).
func (t *Tensor) SetInts(data []int64) { setElements(t, data, gotch.Int64) }

// SetFloats overwrites the elements of a float32 tensor (N).
func (t *Tensor) SetFloats(data []float32) { setElements(t, data, gotch.Float) }

func setElements[E int64 | float32](t *Tensor, data []E, kind gotch.DType) {
	onCPU := upload(data, kind, gotch.CPU, []int64{int64(len(data))})
	defer onCPU.Drop()
	t.Set(onCPU)
}

// Alias shares the elements of a weight, but not its gradient.
func (t *Tensor) Alias() *Tensor {
	return call(func(out *lib.Ctensor) { lib.AtgDetach(out, t.c) })
}

// RequireGrad turns gradients of a weight on or off.
func (t *Tensor) RequireGrad(required bool) {
	var flag int32
	if required {
		flag = 1
	}
	inPlace(func(out *lib.Ctensor) { lib.AtgSetRequiresGrad(out, t.c, flag) })
}

// Grad is the gradient of a weight, which may be undefined.
func (s *Scope) Grad(weight *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgGrad(out, weight.c) })
}

// Backward computes the gradients of a scalar.
func (t *Tensor) Backward() {
	lib.AtBackward(t.c, 0, 0)
	check()
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2017), split into parts, which
// different threads may run. A step is Begin, then SumGradients of every part, then Apply of every
// part. In distributed training, an AllReduce of Gradients follows SumGradients.
type AdamW struct {
	optimizer libtorch.AdamW
	weights   int
}

// NewAdamW makes an optimizer of weights whose gradients are the sums of those of their replicas.
func NewAdamW(weights []*Tensor, replicas [][]*Tensor, parts int, beta1, beta2, weightDecay float64) *AdamW {
	optimizer, err := libtorch.NewAdamW(pointers(weights), pointers(slices.Concat(replicas...)), parts, beta1, beta2, weightDecay)
	raise(err)
	return &AdamW{optimizer, len(weights)}
}

func pointers(tensors []*Tensor) []unsafe.Pointer {
	all := make([]unsafe.Pointer, len(tensors))
	for i, t := range tensors {
		all[i] = unsafe.Pointer(t.c)
	}
	return all
}

// Begin takes the gradients from the replicas. If distributed, there may be none.
func (a *AdamW) Begin(distributed bool) { raise(a.optimizer.Begin(distributed)) }

// SumGradients sums the gradients of a part over the replicas and returns their squared norm.
func (a *AdamW) SumGradients(part int) float64 {
	squared, err := a.optimizer.SumGradients(part)
	raise(err)
	return squared
}

// Gradients lists the summed gradient of each weight.
func (a *AdamW) Gradients(s *Scope) []*Tensor {
	all := make([]*Tensor, a.weights)
	for i := range all {
		all[i] = s.own(handle(lib.Ctensor(a.optimizer.Gradient(i))))
	}
	return all
}

// SquaredNorm returns the squared norm of a part's gradients, after an all-reduce.
func (a *AdamW) SquaredNorm(part int) float64 {
	squared, err := a.optimizer.SquaredNorm(part)
	raise(err)
	return squared
}

// Apply updates the weights of a part by their gradients times scale, at a learning rate.
func (a *AdamW) Apply(part int, rate, scale float64) { raise(a.optimizer.Apply(part, rate, scale)) }

// Moments lists for each weight the running means of the gradient and of its square.
// They share their memory with the optimizer and belong to the scope.
func (a *AdamW) Moments(s *Scope) (means, squares []*Tensor) {
	for i := range a.weights {
		means = append(means, s.own(handle(lib.Ctensor(a.optimizer.Moment(i, 1)))))
		squares = append(squares, s.own(handle(lib.Ctensor(a.optimizer.Moment(i, 2)))))
	}
	return means, squares
}

// SetSteps sets the number of steps in the moments.
func (a *AdamW) SetSteps(steps int) { a.optimizer.SetSteps(steps) }

// Drop frees the optimizer's state.
func (a *AdamW) Drop() { a.optimizer.Free() }

// AllReduce replaces the elements of tensors on one device by their sums over the ranks of a group.
func AllReduce(g libtorch.Group, tensors []*Tensor) { raise(g.AllReduceTensors(pointers(tensors))) }

// Broadcast replaces the elements of tensors by those of rank 0.
func Broadcast(g libtorch.Group, tensors []*Tensor) { raise(g.BroadcastTensors(pointers(tensors))) }
