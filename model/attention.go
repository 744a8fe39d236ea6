package model

import "genrec/model/tensor"

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

// keysValues are (B, S, D) each, or packed (N, D), as the layout says.
type keysValues struct {
	keys, values *tensor.Tensor
	as           layout
}

// keysValues are those of x, which stands as the layout says.
func (a attention) keysValues(g *graph, x *tensor.Tensor, as layout) keysValues {
	return keysValues{keys: a.key.apply(g, x), values: a.value.apply(g, x), as: as}
}

// over attends from x (B, T, D), or packed like the keys and values, to those, of S
// positions; mask is added to the scores and broadcasts to (B, H, T, S). Packed, there is
// neither a mask nor causality.
func (a attention) over(g *graph, x *tensor.Tensor, kv keysValues, mask *tensor.Tensor, causal bool) *tensor.Tensor {
	query := a.query.apply(g, x)
	if kv.as.packed() {
		return a.join.apply(g, g.PackedAttention(query, kv.keys, kv.values, kv.as.starts, kv.as.length, a.heads))
	}
	return a.join.apply(g, g.Attention(query, kv.keys, kv.values, mask, a.heads, g.dropout.attention, causal))
}

// along attends from beams x (B, K, D) to the tokens that their paths (B, 1, K, T) lead along.
func (a attention) along(g *graph, x *tensor.Tensor, kv keysValues, paths *tensor.Tensor) *tensor.Tensor {
	return a.join.apply(g, g.PathAttention(a.query.apply(g, x), kv.keys, kv.values, paths, a.heads))
}
