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
	random bool        // draw what is to be random; otherwise set follows
	source *parameters // of which these are aliases, or copies of another kind
	kind   tensor.Kind
	names  []string
	byName map[string]*tensor.Tensor
	fixed  map[string]bool // not trained
}

func newParameters(device Device, random bool) *parameters {
	return &parameters{device: device, random: random, kind: tensor.Float32, byName: make(map[string]*tensor.Tensor), fixed: make(map[string]bool)}
}

func (p *parameters) add(name string, t *tensor.Tensor) *tensor.Tensor {
	if _, exists := p.byName[name]; exists {
		panic("parameter named twice: " + name)
	}
	p.names = append(p.names, name)
	p.byName[name] = t
	return t
}

// aliases are the same weights with gradients of their own.
func (p *parameters) aliases() *parameters {
	a := newParameters(p.device, false)
	a.source = p
	return a
}

// rounded are copies of the weights in another kind, which cannot learn.
func (p *parameters) rounded(kind tensor.Kind) *parameters {
	r := newParameters(p.device, false)
	r.source, r.kind = p, kind
	return r
}

// normal makes a parameter drawn from N(0, std²).
func (p *parameters) normal(name string, std float64, shape ...int64) *tensor.Tensor {
	if !p.random {
		return p.constant(name, 0, shape...)
	}
	return p.add(name, tensor.Normal(std, p.device.libtorch, shape...))
}

func (p *parameters) constant(name string, value float64, shape ...int64) *tensor.Tensor {
	if p.source != nil {
		if p.kind != p.source.kind {
			return p.add(name, p.source.byName[name].Copy(p.kind))
		}
		return p.add(name, p.source.byName[name].Alias())
	}
	return p.add(name, tensor.Constant(value, p.device.libtorch, shape...))
}

// buffer makes zeros that are stored with the weights but not trained.
func (p *parameters) buffer(name string, shape ...int64) *tensor.Tensor {
	p.fixed[name] = true
	return p.constant(name, 0, shape...)
}

// set overwrites a parameter.
func (p *parameters) set(name string, t *tensor.Tensor) error {
	return overwrite(name, p.byName[name], t)
}

func overwrite(name string, into, from *tensor.Tensor) error {
	if have, want := from.Shape(), into.Shape(); !slices.Equal(have, want) {
		return fmt.Errorf("tensor %q has shape %v, the configuration asks for %v", name, have, want)
	}
	into.Set(from)
	return nil
}

type namedTensor struct {
	name string
	*tensor.Tensor
}

// named lists weights and buffers in the order in which they were made.
func (p *parameters) named() []namedTensor {
	var list []namedTensor
	for _, name := range p.names {
		list = append(list, namedTensor{name, p.byName[name]})
	}
	return list
}

// requireGrad turns gradients on or off for every weight.
func (p *parameters) requireGrad(required bool) {
	for _, t := range p.trained() {
		t.RequireGrad(required)
	}
}

// trained lists the weights, without the buffers, in the order in which they were
// made.
func (p *parameters) trained() []*tensor.Tensor {
	var list []*tensor.Tensor
	for _, name := range p.trainedNames() {
		list = append(list, p.byName[name])
	}
	return list
}

func (p *parameters) trainedNames() []string {
	return slices.DeleteFunc(slices.Clone(p.names), func(name string) bool { return p.fixed[name] })
}

func (p *parameters) drop() {
	for _, t := range p.byName {
		t.Drop()
	}
	p.byName, p.names = nil, nil
}
