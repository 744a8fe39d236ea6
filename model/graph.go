package model

import (
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// graph is one forward pass: the scope of its tensors, how it drops out, and whether blocks
// of layers are computed at once.
type graph struct {
	tensor.Scope
	dropout dropout
	fused   bool
}

// dropout holds the shares that a training step zeroes; outside training they are 0.
type dropout struct {
	blocks, attention, activation float64
	random                        uint64 // the state of the masks' random stream
}

func newGraph(device Device) *graph {
	return &graph{Scope: tensor.Scope{Device: device.libtorch}}
}

// newTrainingGraph drops out as the configuration says.
func newTrainingGraph(device Device, c Config, random uint64) *graph {
	g := newGraph(device)
	g.dropout = dropout{blocks: c.Dropout, attention: c.AttentionDropout, activation: c.ActivationDropout, random: random}
	return g
}

func (g *graph) drop(x *tensor.Tensor, share float64) *tensor.Tensor {
	if share == 0 {
		return x
	}
	return g.Dropout(x, share, &g.dropout.random)
}

// withoutGradients turns the recording of gradients off until the function that
// it returns is called.
func withoutGradients() (restore func()) {
	before := libtorch.SetGradients(false)
	return func() { libtorch.SetGradients(before) }
}
