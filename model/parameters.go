package model

import (
	"fmt"
	"slices"

	"genrec/model/tensor"
)

// parameters are the model's weights by their Hugging Face names, in the order
// in which they were made.
type parameters struct {
	device Device
	random bool // draw what is to be random; otherwise set follows
	names  []string
	byName map[string]*tensor.Tensor
}

func newParameters(device Device, random bool) *parameters {
	return &parameters{device: device, random: random, byName: make(map[string]*tensor.Tensor)}
}

func (p *parameters) add(name string, t *tensor.Tensor) *tensor.Tensor {
	if _, exists := p.byName[name]; exists {
		panic("parameter named twice: " + name)
	}
	p.names = append(p.names, name)
	p.byName[name] = t
	return t
}

// normal makes a parameter drawn from N(0, std²).
func (p *parameters) normal(name string, std float64, shape ...int64) *tensor.Tensor {
	if !p.random {
		return p.constant(name, 0, shape...)
	}
	return p.add(name, tensor.Normal(std, p.device.libtorch, shape...))
}

func (p *parameters) constant(name string, value float64, shape ...int64) *tensor.Tensor {
	return p.add(name, tensor.Constant(value, p.device.libtorch, shape...))
}

// set overwrites every parameter with the tensor of the same name.
func (p *parameters) set(tensors map[string]*tensor.Tensor) error {
	for _, name := range p.names {
		t, found := tensors[name]
		if !found {
			return fmt.Errorf("tensor %q is missing", name)
		}
		if have, want := t.Shape(), p.byName[name].Shape(); !slices.Equal(have, want) {
			return fmt.Errorf("tensor %q has shape %v, the configuration asks for %v", name, have, want)
		}
		p.byName[name].Set(t)
	}
	return nil
}

// requireGrad turns gradients on or off for every parameter.
func (p *parameters) requireGrad(required bool) {
	for _, t := range p.byName {
		t.RequireGrad(required)
	}
}

// all lists the parameters in the order in which they were made.
func (p *parameters) all() []*tensor.Tensor {
	list := make([]*tensor.Tensor, len(p.names))
	for i, name := range p.names {
		list[i] = p.byName[name]
	}
	return list
}

func (p *parameters) drop() {
	for _, t := range p.byName {
		t.Drop()
	}
	p.byName, p.names = nil, nil
}
