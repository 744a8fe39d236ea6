package model

import (
	"math"

	"genrec/model/examples"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// encoded is what the decoder reads of a batch.
type encoded struct {
	states *tensor.Tensor // (B, S, D)
	mask   *tensor.Tensor // (B, 1, 1, S): 0 on tokens, -inf on padding
}

// encode runs the encoder on the sum of the token, position and ID embeddings
// (paper, equation 2).
func (n *network) encode(g *graph, b examples.Batch) encoded {
	rows, length := int64(b.Rows), int64(b.Length)
	embed := func(table *tensor.Tensor, ids []int64, padding int64) *tensor.Tensor { // (B, S, D)
		return g.Embedding(table, g.Ints(ids, rows, length), padding)
	}
	x := n.scale(g, embed(n.tokens, b.Tokens, tokens.Pad))
	x = g.Add(x, embed(n.encoderPositions, n.positions(b), noPadding))
	x = g.Add(x, embed(n.users, b.Users, noID))
	x = g.Add(x, embed(n.items, b.Items, noID))
	x = g.drop(n.encoderNorm.apply(g, x), g.dropout.blocks)

	mask := paddingMask(g, b)
	for _, layer := range n.encoder {
		x = layer.apply(g, x, mask)
	}
	return encoded{states: x, mask: mask}
}

func (n *network) positions(b examples.Batch) []int64 {
	positions := make([]int64, len(b.Tokens))
	for i := range positions {
		if n.config.NewestFirst {
			positions[i] = b.Distance[i] + positionOffset
		} else {
			positions[i] = int64(i%b.Length) + positionOffset
		}
	}
	return positions
}

func paddingMask(g *graph, b examples.Batch) *tensor.Tensor {
	mask := make([]float32, len(b.Tokens))
	for i := range mask {
		if int64(i%b.Length) >= b.Lengths[i/b.Length] {
			mask[i] = float32(math.Inf(-1))
		}
	}
	return g.Floats(mask, int64(b.Rows), 1, 1, int64(b.Length))
}

// decode runs the decoder on whole texts, ids (B, T), and returns the states
// (B, T, D) with each layer's self-attention keys and values, and those of the
// encoded input that it made on the way.
func (n *network) decode(g *graph, ids []int64, length int64, e encoded) (states *tensor.Tensor, own, cross []keysValues) {
	x := n.embedTarget(g, g.Ints(ids, int64(len(ids))/length, length), 0)
	for _, layer := range n.decoder {
		kv := layer.crossAttention.keysValues(g, e.states)
		var self keysValues
		x, self = layer.apply(g, x, kv, e.mask)
		own, cross = append(own, self), append(cross, kv)
	}
	return x, own, cross
}

// embedTarget maps the decoder's tokens (B, T), the first of which stands at
// position from, to (B, T, D).
func (n *network) embedTarget(g *graph, ids *tensor.Tensor, from int64) *tensor.Tensor {
	length := ids.Shape()[1]
	positions := g.Narrow(n.decoderPositions, 0, positionOffset+from, length) // (T, D)
	x := g.Add(n.scale(g, g.Embedding(n.tokens, ids, tokens.Pad)), positions)
	return g.drop(n.decoderNorm.apply(g, x), g.dropout.blocks)
}

func (n *network) scale(g *graph, embedded *tensor.Tensor) *tensor.Tensor {
	if !n.config.ScaleEmbedding {
		return embedded
	}
	return g.Scale(embedded, math.Sqrt(float64(n.config.Width)))
}

// loss is the cross-entropy summed over the target tokens, in nats.
func (n *network) loss(g *graph, b examples.Batch, t examples.Targets) *tensor.Tensor {
	states, _, _ := n.decode(g, t.Inputs, int64(t.Length), n.encode(g, b))
	logits := g.Reshape(n.logits(g, states), -1, int64(n.config.Vocabulary)) // (B*T, V)
	labels := g.Ints(t.Labels, int64(len(t.Labels)))
	return g.CrossEntropy(logits, labels, examples.IgnoredLabel)
}

// noPadding is the padding index of a table in which every row learns.
const noPadding = -1
