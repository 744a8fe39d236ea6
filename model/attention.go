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

// keysValues are (B, S, D) each.
type keysValues struct{ keys, values *tensor.Tensor }

// keysValues are those of x, which stands as the layout says.
func (a attention) keysValues(g *graph, x *tensor.Tensor, l layout) keysValues {
	return keysValues{
		keys:   l.spread(g, a.key.apply(g, x)),
		values: l.spread(g, a.value.apply(g, x)),
	}
}

// over attends from x (B, T, D), or packed by the layout, to keys and values of S positions;
// mask is added to the scores and broadcasts to (B, H, T, S). The result stands as x does.
func (a attention) over(g *graph, x *tensor.Tensor, l layout, kv keysValues, mask *tensor.Tensor, causal bool) *tensor.Tensor {
	query := l.spread(g, a.query.apply(g, x)) // (B, T, D)
	attended := g.Attention(query, kv.keys, kv.values, mask, a.heads, g.dropout.attention, causal)
	return a.join.apply(g, l.gather(g, attended))
}
