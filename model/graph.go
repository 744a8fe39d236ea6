package model

import (
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// graph is one forward pass: the scope of its tensors and how it drops out.
type graph struct {
	tensor.Scope
	dropout float64 // 0 outside training
}

func newGraph(device Device, dropout float64) *graph {
	return &graph{Scope: tensor.Scope{Device: device.libtorch}, dropout: dropout}
}

func (g *graph) drop(x *tensor.Tensor) *tensor.Tensor {
	if g.dropout == 0 {
		return x
	}
	return g.Dropout(x, g.dropout)
}

// withoutGradients turns the recording of gradients off until the function that
// it returns is called.
func withoutGradients() (restore func()) {
	before := libtorch.SetGradients(false)
	return func() { libtorch.SetGradients(before) }
}
