package model

import (
	"fmt"

	"genrec/model/libtorch"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// The network is BART (Lewis et al. 2020, arXiv 1910.13461) as Hugging Face's
// BartForConditionalGeneration lays it out: learned positions behind an offset of
// two, layer norm after each residual, tied output embedding. In shapes, B is the
// batch, S the encoder's length, T the decoder's, D the width, H the heads, V the
// vocabulary.

const (
	positionOffset   = 2
	layerNormEpsilon = 1e-5
)

type linear struct{ weight, bias *tensor.Tensor }

func (p *parameters) linear(name string, std float64, in, out int64) linear {
	return linear{
		weight: p.normal(name+".weight", std, out, in),
		bias:   p.constant(name+".bias", 0, out),
	}
}

func (l linear) apply(g *graph, x *tensor.Tensor) *tensor.Tensor {
	return g.Linear(x, l.weight, l.bias)
}

func (l linear) fused() libtorch.Projection {
	return libtorch.Projection{Weight: l.weight.Handle(), Bias: l.bias.Handle()}
}

type layerNorm struct {
	width        int64
	weight, bias *tensor.Tensor
}

func (p *parameters) layerNorm(name string, width int64) layerNorm {
	return layerNorm{
		width:  width,
		weight: p.constant(name+".weight", 1, width),
		bias:   p.constant(name+".bias", 0, width),
	}
}

func (n layerNorm) apply(g *graph, x *tensor.Tensor) *tensor.Tensor {
	return g.LayerNorm(x, n.weight, n.bias, n.width, layerNormEpsilon)
}

// addAndNorm is the end of every block: the residual, then the norm.
func (n layerNorm) addAndNorm(g *graph, x, block *tensor.Tensor) *tensor.Tensor {
	return g.AddNorm(x, g.drop(block, g.dropout.blocks), n.weight, n.bias, layerNormEpsilon)
}

func (n layerNorm) fused() libtorch.Norm {
	return libtorch.Norm{Weight: n.weight.Handle(), Bias: n.bias.Handle(), Epsilon: layerNormEpsilon}
}

// feedForward is the block that ends a layer.
type feedForward struct {
	fc1, fc2 linear
	norm     layerNorm
}

func (p *parameters) feedForward(name string, std float64, width, inner int64) feedForward {
	return feedForward{
		fc1:  p.linear(name+".fc1", std, width, inner),
		fc2:  p.linear(name+".fc2", std, inner, width),
		norm: p.layerNorm(name+".final_layer_norm", width),
	}
}

func (f feedForward) apply(g *graph, x *tensor.Tensor) *tensor.Tensor {
	if g.fused {
		return g.FeedForward(f.fc1.fused(), f.fc2.fused(), f.norm.fused(), x)
	}
	inner := g.drop(g.Gelu(f.fc1.apply(g, x)), g.dropout.activation)
	return f.norm.addAndNorm(g, x, f.fc2.apply(g, inner))
}

type encoderLayer struct {
	selfAttention attentionBlock
	feedForward   feedForward
}

// apply maps x (B, S, D), or packed by the layout, to the same; mask is (B, 1, 1, S).
func (l encoderLayer) apply(g *graph, x *tensor.Tensor, p packing, mask *tensor.Tensor) *tensor.Tensor {
	x, _ = l.selfAttention.itself(g, x, p, mask, false)
	return l.feedForward.apply(g, x)
}

type decoderLayer struct {
	selfAttention  attentionBlock
	crossAttention attentionBlock
	feedForward    feedForward
}

// apply maps x (B, T, D) to (B, T, D), each position seeing itself and those
// before it. It also returns the self-attention's keys and values, for a search
// that goes on from here.
func (l decoderLayer) apply(g *graph, x *tensor.Tensor, encoded keysValues, mask *tensor.Tensor) (*tensor.Tensor, keysValues) {
	x, own := l.selfAttention.itself(g, x, packing{}, tensor.None, true)
	return l.feedForward.apply(g, l.crossAttention.to(g, x, encoded, mask)), own
}

// network holds the layers; the weights belong to parameters.
type network struct {
	config Config
	kind   tensor.Kind // of the weights and of what is computed of them

	tokens, users, items *tensor.Tensor // (V, D), (Users+1, D), (Items+1, D)
	logitsBias           *tensor.Tensor // (1, V)

	encoderPositions, decoderPositions *tensor.Tensor // (MaxPositions+2, D)
	encoderNorm, decoderNorm           layerNorm
	encoder                            []encoderLayer
	decoder                            []decoderLayer
}

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
			selfAttention: p.attentionBlock(name+".self_attn", std, width, c.EncoderHeads),
			feedForward:   p.feedForward(name, std, width, int64(c.EncoderFFN)),
		})
	}
	for i := range c.DecoderLayers {
		name := fmt.Sprintf("model.decoder.layers.%d", i)
		n.decoder = append(n.decoder, decoderLayer{
			selfAttention:  p.attentionBlock(name+".self_attn", std, width, c.DecoderHeads),
			crossAttention: p.attentionBlock(name+".encoder_attn", std, width, c.DecoderHeads),
			feedForward:    p.feedForward(name, std, width, int64(c.DecoderFFN)),
		})
	}
	return n
}

// noID is the row of an ID table for tokens without an ID. It stays zero.
const noID = 0

func zeroRow(table *tensor.Tensor, row int64) {
	var s tensor.Scope
	defer s.Free()
	s.Narrow(table, 0, row, 1).Zero()
}

// logits maps decoder states (..., D) to (..., V), which are float32.
func (n *network) logits(g *graph, states *tensor.Tensor) *tensor.Tensor {
	bias := g.View(n.logitsBias, -1) // (V)
	return g.As(g.Linear(states, n.tokens, bias), tensor.Float32)
}

// floats copies row-by-row data to the device, as what it is computed with.
func (n *network) floats(g *graph, data []float32, shape ...int64) *tensor.Tensor {
	return g.As(g.Floats(data, shape...), n.kind)
}
