package model

import (
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

type attention struct {
	heads                   int64
	query, key, value, join linear
}

func (p *parameters) attention(name string, std float64, width int64, heads int) attention {
	return attention{
		heads: int64(heads),
		query: p.linear(name+".q_proj", std, width, width),
		key:   p.linear(name+".k_proj", std, width, width),
		value: p.linear(name+".v_proj", std, width, width),
		join:  p.linear(name+".out_proj", std, width, width),
	}
}

// keysValues are (B, S, D) each, or packed (N, D).
type keysValues struct {
	keys, values *tensor.Tensor
	packing      packing
}

// packing is where rows begin among packed positions; its zero value is that of tensors that
// are not packed.
type packing struct {
	starts *tensor.Tensor // (B+1) of int32: cumulative lengths
	length int64          // of the longest row, at most
}

// keysValues are those of x (B, S, D), or packed (N, D).
func (a attention) keysValues(g *graph, x *tensor.Tensor, p packing) keysValues {
	return keysValues{keys: a.key.apply(g, x), values: a.value.apply(g, x), packing: p}
}

// over attends from x (B, T, D), or packed like the keys and values, to those, of S
// positions; mask is added to the scores and broadcasts to (B, H, T, S). Packed, there is
// neither a mask nor causality.
func (a attention) over(g *graph, x *tensor.Tensor, kv keysValues, mask *tensor.Tensor, causal bool) *tensor.Tensor {
	query := a.query.apply(g, x)
	if kv.packing.starts != nil {
		return a.join.apply(g, g.PackedAttention(query, kv.keys, kv.values, kv.packing.starts, kv.packing.length, a.heads))
	}
	return a.join.apply(g, g.Attention(query, kv.keys, kv.values, mask, a.heads, g.dropout.attention, causal))
}

// along attends from beams x (B, K, D) to the tokens that their paths (B, 1, K, T) lead along.
func (a attention) along(g *graph, x *tensor.Tensor, kv keysValues, paths *tensor.Tensor) *tensor.Tensor {
	return a.join.apply(g, g.PathAttention(a.query.apply(g, x), kv.keys, kv.values, paths, a.heads))
}

// attentionBlock is attention with the residual and the norm that end it.
type attentionBlock struct {
	attention
	norm layerNorm
}

func (p *parameters) attentionBlock(name string, std float64, width int64, heads int) attentionBlock {
	return attentionBlock{attention: p.attention(name, std, width, heads), norm: p.layerNorm(name+"_layer_norm", width)}
}

func (b attentionBlock) fused() libtorch.AttentionBlock {
	return libtorch.AttentionBlock{
		Query: b.query.fused(), Key: b.key.fused(), Value: b.value.fused(), Join: b.join.fused(), Norm: b.norm.fused(), Heads: b.heads,
	}
}

// itself lets the positions of x (B, T, D), or packed (N, D), attend to each other:
// x, and its keys and values. The mask is (B, 1, 1, T); causal hides later positions.
func (b attentionBlock) itself(g *graph, x *tensor.Tensor, p packing, mask *tensor.Tensor, causal bool) (*tensor.Tensor, keysValues) {
	if g.fused {
		y, keys, values := g.SelfAttention(b.fused(), x, nil, nil, mask, causal)
		return y, keysValues{keys: keys, values: values}
	}
	own := b.keysValues(g, x, p)
	return b.norm.addAndNorm(g, x, b.over(g, x, own, mask, causal)), own
}

// goOn lets beams x (B, K, D) attend to themselves and to the tokens before, as their paths
// (B, 1, K, T+K) lead: x, and all keys and values (B, T+K, D).
func (b attentionBlock) goOn(g *graph, x *tensor.Tensor, before keysValues, paths *tensor.Tensor) (*tensor.Tensor, keysValues) {
	if g.fused {
		y, keys, values := g.SelfAttention(b.fused(), x, before.keys, before.values, paths, false)
		return y, keysValues{keys: keys, values: values}
	}
	latest := b.keysValues(g, x, packing{}) // (B, K, D)
	all := keysValues{
		keys:   g.Cat(1, before.keys, latest.keys),     // (B, T+K, D)
		values: g.Cat(1, before.values, latest.values), // (B, T+K, D)
	}
	return b.norm.addAndNorm(g, x, b.along(g, x, all, paths)), all
}

// to lets x (B, T, D) attend to keys and values of S positions; mask is (B, 1, 1, S).
func (b attentionBlock) to(g *graph, x *tensor.Tensor, kv keysValues, mask *tensor.Tensor) *tensor.Tensor {
	if g.fused {
		return g.CrossAttention(b.fused(), x, kv.keys, kv.values, mask)
	}
	return b.norm.addAndNorm(g, x, b.over(g, x, kv, mask, false))
}
