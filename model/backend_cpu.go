package model

import (
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// fusedCPUBackend makes each layer, and each expansion of beams, one call: in a small model, libtorch
// takes longer to dispatch an operation than to compute it. It is for weights of float32.
type fusedCPUBackend struct{ plainBackend }

func (fusedCPUBackend) selfAttention(p *pass, l attentionLayer, x *tensor.Tensor, rows rowLayout, causal bool) (*tensor.Tensor, keysValues) {
	y, keys, values := p.FusedSelfAttention(l.handles(), x, nil, nil, rows.mask, causal)
	return y, keysValues{keys: keys, values: values, rows: rows}
}

func (fusedCPUBackend) decodeStep(p *pass, l attentionLayer, x *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor) (*tensor.Tensor, keysValues) {
	y, keys, values := p.FusedSelfAttention(l.handles(), x, cache.keys, cache.values, ancestors, false)
	return y, keysValues{keys: keys, values: values}
}

func (fusedCPUBackend) crossAttention(p *pass, l attentionLayer, x *tensor.Tensor, kv keysValues) *tensor.Tensor {
	return p.FusedCrossAttention(l.handles(), x, kv.keys, kv.values, kv.rows.mask)
}

func (fusedCPUBackend) feedForward(p *pass, f feedForward, x *tensor.Tensor) *tensor.Tensor {
	return p.FusedFeedForward(f.fc1.handles(), f.fc2.handles(), f.norm.handles(), x)
}

func (fusedCPUBackend) expandBeams(p *pass, b *beams, logits *tensor.Tensor, c childTables, keep int64) expansion {
	scores, tokens, nodes, parents := p.FusedExpandBeams(logits, b.nodes, b.scores, c.tokens, c.nodes, c.bias, keep)
	return expansion{scores: scores, tokens: tokens, nodes: nodes, parents: parents}
}

func (fusedCPUBackend) expandLeaves(p *pass, n *network, b itemBeams, childItems *tensor.Tensor) foundItems {
	leaves, logProbs := p.FusedExpandLeaves(b.query, n.items, b.nodes, b.scores, childItems, n.config.PathWeight, b.keep, b.proposals)
	return foundItems{leaves: leaves, logProbs: logProbs}
}

func (l attentionLayer) handles() libtorch.AttentionLayer {
	return libtorch.AttentionLayer{
		Query: l.query.handles(), Key: l.key.handles(), Value: l.value.handles(), Out: l.out.handles(), Norm: l.norm.handles(), Heads: l.heads,
	}
}

func (l linear) handles() libtorch.Linear {
	return libtorch.Linear{Weight: l.weight.Handle(), Bias: l.bias.Handle()}
}

func (n layerNorm) handles() libtorch.LayerNorm {
	return libtorch.LayerNorm{Weight: n.weight.Handle(), Bias: n.bias.Handle(), Epsilon: layerNormEpsilon}
}

// simdOperations are vectorized loops over rows of float32.
type simdOperations struct{ libtorchOperations }

func (o simdOperations) logProbs(p *pass, logits, columns *tensor.Tensor) *tensor.Tensor {
	if !logits.Is(tensor.Float32) {
		return o.libtorchOperations.logProbs(p, logits, columns)
	}
	return p.SIMDLogProbs(logits, columns)
}

func (o simdOperations) topIndices(p *pass, x *tensor.Tensor, k int64) *tensor.Tensor {
	if !x.Is(tensor.Float32) {
		return o.libtorchOperations.topIndices(p, x, k)
	}
	return p.SIMDTopIndices(x, k)
}
