package model

import (
	"math"

	"genrec/model/examples"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// encoded is what the decoder reads of a batch.
type encoded struct {
	states  *tensor.Tensor // (B, S, D), or packed (N, D)
	packing packing
	mask    *tensor.Tensor // (B, 1, 1, S): 0 on tokens, -inf on padding; None if there is none
	start   *tensor.Tensor // (B, 1, D): what the decoder starts from, nil for its marks alone
}

// encode runs the encoder on the sum of the token, position and ID embeddings
// (paper, equation 2).
func (n *network) encode(g *graph, u uploaded) encoded {
	x := n.scale(g, n.embedWords(g, u.tokens, u.layout)) // (B, S, D) or (N, D)
	x = g.Add(x, g.Embedding(n.encoderPositions, u.positions, noPadding))
	x = g.Add(x, g.Embedding(n.users, u.users, noID))
	items := g.Embedding(n.items, u.items, noID)
	x = g.Add(x, items)
	x = g.drop(n.encoderNorm.apply(g, x), g.dropout.blocks)

	start := n.start(g, u, items)
	for _, layer := range n.encoder {
		mark := g.Mark()
		x = layer.apply(g, x, u.packing, u.mask)
		g.FreeSince(mark, x)
	}
	return encoded{states: x, packing: u.packing, mask: u.mask, start: start}
}

// embedWords maps the tokens at each position to the sum of their embeddings (B, S, D) or
// (N, D), of which padding is no part.
func (n *network) embedWords(g *graph, ids *tensor.Tensor, as layout) *tensor.Tensor {
	embedded := g.Embedding(n.tokens, ids, tokens.Pad) // (B, S, D), or (B, S, P, D)
	shape, perPosition := ids.Shape(), 2
	if as.packed() {
		perPosition = 1
	}
	if len(shape) == perPosition {
		return embedded
	}
	present := g.View(g.As(g.Not(g.Equals(ids, tokens.Pad)), n.kind), append(shape, 1)...) // (B, S, P, 1)
	return g.Sum(g.Multiply(embedded, present), -2)                                        // (B, S, D)
}

// start is the sum of what the configuration lets the decoder start from, given the ID
// embeddings of the items (B, S, D) or (N, D).
func (n *network) start(g *graph, u uploaded, items *tensor.Tensor) *tensor.Tensor {
	var start *tensor.Tensor
	if u.newest != nil {
		start = g.Embedding(n.items, u.newest, noID) // (B, 1, D)
	}
	if u.shares != nil {
		mean := g.View(n.meanItem(g, u, items), u.rows, 1, int64(n.config.Width)) // (B, 1, D)
		if start == nil {
			return mean
		}
		start = g.Add(start, mean)
	}
	return start
}

// meanItem is the mean of the ID embeddings (B, S, D) or (N, D) of each row's items: (B, D).
func (n *network) meanItem(g *graph, u uploaded, items *tensor.Tensor) *tensor.Tensor {
	if u.packed() {
		return g.SumOfRows(n.items, u.items, u.starts, u.shares)
	}
	return g.Sum(g.Multiply(items, g.View(u.shares, u.rows, u.length, 1)), 1)
}

// decode runs the decoder on whole texts, ids (B, T), and returns the states
// (B, T, D) with each layer's self-attention keys and values, and those of the
// encoded input that it made on the way.
func (n *network) decode(g *graph, ids *tensor.Tensor, e encoded) (states *tensor.Tensor, own, cross []keysValues) {
	x := n.embedTarget(g, ids, 0, e.start)
	for _, layer := range n.decoder {
		mark := g.Mark()
		kv := layer.crossAttention.keysValues(g, e.states, e.packing)
		var self keysValues
		x, self = layer.apply(g, x, kv, e.mask)
		g.FreeSince(mark, x, self.keys, self.values, kv.keys, kv.values)
		own, cross = append(own, self), append(cross, kv)
	}
	return x, own, cross
}

// embedTarget maps the decoder's tokens (B, T), the first of which stands at
// position from, to (B, T, D). What the decoder starts from (B, 1, D), if anything, goes to
// the marks that every text begins with.
func (n *network) embedTarget(g *graph, ids *tensor.Tensor, from int64, start *tensor.Tensor) *tensor.Tensor {
	length := ids.Shape()[1]
	positions := g.Narrow(n.decoderPositions, 0, positionOffset+from, length) // (T, D)
	x := g.Add(n.scale(g, g.Embedding(n.tokens, ids, tokens.Pad)), positions)
	if start != nil {
		marks := g.Add(g.Narrow(x, 1, 0, textMarks), start)              // (B, 2, D)
		x = g.Cat(1, marks, g.Narrow(x, 1, textMarks, length-textMarks)) // (B, T, D)
	}
	return g.drop(n.decoderNorm.apply(g, x), g.dropout.blocks)
}

func (n *network) scale(g *graph, embedded *tensor.Tensor) *tensor.Tensor {
	if !n.config.ScaleEmbedding {
		return embedded
	}
	return g.Scale(embedded, math.Sqrt(float64(n.config.Width)))
}

// textMarks are the end and begin tokens that the decoder reads before an item's text.
const textMarks = 2

// losses are the cross-entropies of the text, summed over the target tokens, and of
// the dense head, summed over the rows (None if not asked for), in nats.
func (n *network) losses(g *graph, b examples.Batch, t examples.Targets, dense bool) (generative, head *tensor.Tensor) {
	ids := g.Ints(t.Inputs, int64(b.Rows), int64(t.Length))
	states, _, _ := n.decode(g, ids, n.encode(g, n.upload(g, b, padded(b))))
	logits := g.Reshape(n.logits(g, states), -1, int64(n.config.Vocabulary)) // (B*T, V)
	generative = g.CrossEntropy(logits, g.Ints(t.Labels, int64(len(t.Labels))), examples.IgnoredLabel)
	if !dense {
		return generative, tensor.None
	}
	return generative, g.CrossEntropy(n.itemScores(g, states), g.Ints(Leaves(t.Items), int64(len(t.Items))), examples.IgnoredLabel)
}

// itemScores maps decoder states (B, T, D) to scores of all items (B, Items): the
// state that the text begins from against the item-ID embeddings, as float32. Column i is
// item i+1.
func (n *network) itemScores(g *graph, states *tensor.Tensor) *tensor.Tensor {
	items := g.Narrow(n.items, 0, 1, int64(n.config.Items)) // (Items, D), without row 0
	return g.As(g.Linear(g.Select(states, 1, textMarks-1), items, tensor.None), tensor.Float32)
}

// noPadding is the padding index of a table in which every row learns.
const noPadding = -1
