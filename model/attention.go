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

// keysValues are (B, H, S, D/H) each.
type keysValues struct{ keys, values *tensor.Tensor }

// keysValues are those of x, which stands as the layout says.
func (a attention) keysValues(g *graph, x *tensor.Tensor, l layout) keysValues {
	return keysValues{
		keys:   a.split(g, l.spread(g, a.key.apply(g, x))),
		values: a.split(g, l.spread(g, a.value.apply(g, x))),
	}
}

// over attends from x (B, T, D), or packed by the layout, to keys and values of S positions;
// mask is added to the scores and broadcasts to (B, H, T, S). The result stands as x does.
func (a attention) over(g *graph, x *tensor.Tensor, l layout, kv keysValues, mask *tensor.Tensor, causal bool) *tensor.Tensor {
	query := a.split(g, l.spread(g, a.query.apply(g, x))) // (B, H, T, D/H)
	attended := g.Attention(query, kv.keys, kv.values, mask, g.dropout.attention, causal)
	return a.join.apply(g, l.gather(g, a.merge(g, attended)))
}

// split maps (B, T, D) to (B, H, T, D/H).
func (a attention) split(g *graph, x *tensor.Tensor) *tensor.Tensor {
	shape := x.Shape()
	perHead := g.View(x, shape[0], shape[1], a.heads, shape[2]/a.heads) // (B, T, H, D/H)
	return g.Transpose(perHead, 1, 2)                                   // (B, H, T, D/H)
}

// merge maps (B, H, T, D/H) to (B, T, D).
func (a attention) merge(g *graph, x *tensor.Tensor) *tensor.Tensor {
	shape := x.Shape()
	perToken := g.Transpose(x, 1, 2) // (B, T, H, D/H)
	return g.Reshape(perToken, shape[0], shape[2], shape[1]*shape[3])
}
