package model

import (
	"fmt"
	"slices"

	"genrec/model/tensor"
	"genrec/model/tokens"
)

// parameters are the weights of a network by their Hugging Face names, in the order in which they were
// made.
type parameters struct {
	device  Device
	random  bool        // whether to draw random weights; otherwise set follows
	source  *parameters // whose aliases these are, or copies in another kind; nil for new weights
	kind    tensor.Kind
	names   []string
	byName  map[string]*tensor.Tensor
	buffers map[string]bool // stored, but not trained
}

func newParameters(device Device, random bool) *parameters {
	return &parameters{device: device, random: random, kind: tensor.Float32, byName: make(map[string]*tensor.Tensor), buffers: make(map[string]bool)}
}

func (p *parameters) add(name string, t *tensor.Tensor) *tensor.Tensor {
	if _, exists := p.byName[name]; exists {
		panic("duplicate parameter: " + name)
	}
	p.names = append(p.names, name)
	p.byName[name] = t
	return t
}

// aliases share the weights, and have gradients of their own.
func (p *parameters) aliases() *parameters {
	a := newParameters(p.device, false)
	a.source = p
	return a
}

// copyIn copies the weights in another kind, which cannot be trained.
func (p *parameters) copyIn(kind tensor.Kind) *parameters {
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

// buffer makes zeros that are stored with the weights, but not trained.
func (p *parameters) buffer(name string, shape ...int64) *tensor.Tensor {
	p.buffers[name] = true
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

// requireGrad turns gradients of all weights on or off.
func (p *parameters) requireGrad(required bool) {
	for _, t := range p.trained() {
		t.RequireGrad(required)
	}
}

// trained lists the weights without the buffers.
func (p *parameters) trained() []*tensor.Tensor {
	var list []*tensor.Tensor
	for _, name := range p.trainedNames() {
		list = append(list, p.byName[name])
	}
	return list
}

func (p *parameters) trainedNames() []string {
	return slices.DeleteFunc(slices.Clone(p.names), func(name string) bool { return p.buffers[name] })
}

func (p *parameters) drop() {
	for _, t := range p.byName {
		t.Drop()
	}
	p.byName, p.names = nil, nil
}

// newNetwork makes the weights of a network, or takes those of p's source, in a fixed order: it decides
// the random draws.
func newNetwork(c Config, p *parameters) *network {
	width, std := int64(c.Width), c.InitStd
	positions := int64(c.MaxPositions + positionOffset)
	n := &network{
		config:           c,
		kind:             p.kind,
		tokens:           p.normal(sharedName, std, int64(c.Vocabulary), width),
		users:            p.normal(usersName, std, int64(c.Users+1), width),
		items:            p.normal(itemsName, std, int64(c.Items+1), width),
		logitsBias:       p.buffer(logitsBiasName, 1, int64(c.Vocabulary)),
		encoderPositions: p.normal("model.encoder.embed_positions.weight", std, positions, width),
		decoderPositions: p.normal("model.decoder.embed_positions.weight", std, positions, width),
		encoderNorm:      p.layerNorm("model.encoder.layernorm_embedding", width),
		decoderNorm:      p.layerNorm("model.decoder.layernorm_embedding", width),
	}
	if p.random {
		zeroRow(n.tokens, tokens.Pad)
		zeroRow(n.users, noID)
		zeroRow(n.items, noID)
	}
	for i := range c.EncoderLayers {
		name := fmt.Sprintf("model.encoder.layers.%d", i)
		n.encoder = append(n.encoder, encoderLayer{
			selfAttention: p.attention(name+".self_attn", std, width, c.EncoderHeads),
			feedForward:   p.feedForward(name, std, width, int64(c.EncoderFFN)),
		})
	}
	for i := range c.DecoderLayers {
		name := fmt.Sprintf("model.decoder.layers.%d", i)
		n.decoder = append(n.decoder, decoderLayer{
			selfAttention:  p.attention(name+".self_attn", std, width, c.DecoderHeads),
			crossAttention: p.attention(name+".encoder_attn", std, width, c.DecoderHeads),
			feedForward:    p.feedForward(name, std, width, int64(c.DecoderFFN)),
		})
	}
	return n
}

func (p *parameters) attention(name string, std float64, width int64, heads int) attentionLayer {
	return attentionLayer{
		heads: int64(heads),
		query: p.linear(name+".q_proj", std, width, width),
		key:   p.linear(name+".k_proj", std, width, width),
		value: p.linear(name+".v_proj", std, width, width),
		out:   p.linear(name+".out_proj", std, width, width),
		norm:  p.layerNorm(name+"_layer_norm", width),
	}
}

func (p *parameters) feedForward(name string, std float64, width, inner int64) feedForward {
	return feedForward{
		fc1:  p.linear(name+".fc1", std, width, inner),
		fc2:  p.linear(name+".fc2", std, inner, width),
		norm: p.layerNorm(name+".final_layer_norm", width),
	}
}

func (p *parameters) linear(name string, std float64, in, out int64) linear {
	return linear{
		weight: p.normal(name+".weight", std, out, in),
		bias:   p.constant(name+".bias", 0, out),
	}
}

func (p *parameters) layerNorm(name string, width int64) layerNorm {
	return layerNorm{
		width:  width,
		weight: p.constant(name+".weight", 1, width),
		bias:   p.constant(name+".bias", 0, width),
	}
}

func zeroRow(table *tensor.Tensor, row int64) {
	var s tensor.Scope
	defer s.Free()
	s.Narrow(table, 0, row, 1).Zero()
}
