package model

import (
	"math"

	"genrec/model/examples"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// network is the forward pass, from a batch to logits and losses. It is BART (Lewis et al. 2020, arXiv
// 1910.13461) as in Hugging Face's BartForConditionalGeneration: learned positions with an offset of
// two, layer norm after each residual sum, and an output projection tied to the token embedding.
// GenRec adds embeddings of user and item ids to the encoder's input (paper, equation 2), and this
// implementation a dense head: a softmax over all items.
//
// In the shapes of comments, B is the batch, S the length of the encoder's input, T that of the
// decoder's, N the positions of a packed batch, D the width, H the heads, and V the vocabulary.
type network struct {
	config Config
	kind   tensor.Kind // of weights and activations

	tokens, users, items *tensor.Tensor // (V, D), (Users+1, D), (Items+1, D)
	logitsBias           *tensor.Tensor // (1, V)
	itemBias             *tensor.Tensor // (1, Items): added to the logits of items in training on a sample of them; nil elsewhere

	encoderPositions, decoderPositions *tensor.Tensor // (MaxPositions+2, D)
	encoderNorm, decoderNorm           layerNorm
	encoder                            []encoderLayer
	decoder                            []decoderLayer
}

type encoderLayer struct {
	selfAttention attentionLayer
	feedForward   feedForward
}

type decoderLayer struct {
	selfAttention  attentionLayer
	crossAttention attentionLayer
	feedForward    feedForward
}

// attentionLayer is multi-head attention between its projections, and the norm of the residual sum.
type attentionLayer struct {
	heads                  int64
	query, key, value, out linear
	norm                   layerNorm
}

// feedForward is a two-layer perceptron, and the norm of the residual sum.
type feedForward struct {
	fc1, fc2 linear
	norm     layerNorm
}

type linear struct{ weight, bias *tensor.Tensor } // (out, in), (out)

type layerNorm struct {
	width        int64          // D
	weight, bias *tensor.Tensor // (D)
}

const (
	positionOffset   = 2 // rows of the position tables that BART leaves unused
	layerNormEpsilon = 1e-5

	noID           = 0  // row of the ID tables for tokens without an ID; it stays zero
	noPaddingIndex = -1 // of tables in which every row is trained

	// startTokens is the number of tokens that every decoder input begins with: end and begin.
	startTokens = 2
)

// losses returns two cross-entropies in nats: of the target tokens, summed over them, and of the dense
// head, summed over the rows (None unless dense).
func (n *network) losses(p *pass, b examples.Batch, t examples.Targets, dense bool) (generative, head *tensor.Tensor) {
	ids := p.Ints(t.Inputs, int64(b.Rows), int64(t.Length))
	states, _, _ := n.decode(p, ids, n.encode(p, n.upload(p, b, padded(b))))
	logits := p.Reshape(n.logits(p, states), -1, int64(n.config.Vocabulary)) // (B*T, V)
	generative = p.CrossEntropy(logits, p.Ints(t.Labels, int64(len(t.Labels))), examples.IgnoredLabel)
	if !dense {
		return generative, tensor.None
	}
	logits = n.itemLogits(p, states) // (B, Items)
	if n.itemBias != nil {
		logits = p.Add(logits, n.itemBias)
	}
	return generative, p.CrossEntropy(logits, p.Ints(Leaves(t.Items), int64(len(t.Items))), examples.IgnoredLabel)
}

// encoded is the encoder's output.
type encoded struct {
	states *tensor.Tensor // (B, S, D), or packed (N, D)
	rows   rowLayout
	start  *tensor.Tensor // (B, 1, D): added to the decoder's start tokens; nil if nothing is
}

// encode runs the encoder on the sum of the token, position, user and item embeddings (paper,
// equation 2).
func (n *network) encode(p *pass, b deviceBatch) encoded {
	x := n.scale(p, n.embedTokens(p, b)) // (B, S, D), or packed (N, D), as is all below
	x = p.Add(x, p.Embedding(n.encoderPositions, b.positions, noPaddingIndex))
	x = p.Add(x, p.Embedding(n.users, b.users, noID))
	items := p.Embedding(n.items, b.items, noID)
	x = p.Add(x, items)
	x = p.drop(n.encoderNorm.apply(p, x), p.dropout.residual)

	start := n.decoderStart(p, b, items) // (B, 1, D)
	for _, layer := range n.encoder {
		mark := p.Mark()
		x = layer.forward(p, x, b.rowLayout)
		p.FreeSince(mark, x)
	}
	return encoded{states: x, rows: b.rowLayout, start: start}
}

// embedTokens returns token embeddings (B, S, D) or (N, D). Where a position has several tokens, those
// of a word, it sums them without the padding.
func (n *network) embedTokens(p *pass, b deviceBatch) *tensor.Tensor {
	embedded := p.Embedding(n.tokens, b.tokens, tokens.Pad) // (B, S, D), or of words (B, S, P, D)
	if b.tokensPerPosition == 1 {
		return embedded
	}
	present := p.View(p.As(p.Not(p.Equal(b.tokens, tokens.Pad)), n.kind), append(b.tokens.Shape(), 1)...) // (B, S, P, 1)
	return p.Sum(p.Multiply(embedded, present), -2)                                                       // (B, S, D)
}

// decoderStart is what the configuration adds to the decoder's start tokens, given the embedded items
// (B, S, D) or (N, D): (B, 1, D), or nil.
func (n *network) decoderStart(p *pass, b deviceBatch, items *tensor.Tensor) *tensor.Tensor {
	var start *tensor.Tensor
	if b.newest != nil {
		start = p.Embedding(n.items, b.newest, noID) // (B, 1, D)
	}
	if b.itemWeights != nil {
		mean := p.View(b.meanItem(p, n.items, items), b.rows, 1, int64(n.config.Width)) // (B, 1, D)
		if start == nil {
			return mean
		}
		start = p.Add(start, mean)
	}
	return start
}

func (n *network) scale(p *pass, embedded *tensor.Tensor) *tensor.Tensor {
	if !n.config.ScaleEmbedding {
		return embedded
	}
	return p.Scale(embedded, math.Sqrt(float64(n.config.Width)))
}

// forward maps x (B, S, D), or packed (N, D), to the same shape.
func (l encoderLayer) forward(p *pass, x *tensor.Tensor, rows rowLayout) *tensor.Tensor {
	x, _ = p.backend.selfAttention(p, l.selfAttention, x, rows, false)
	return p.backend.feedForward(p, l.feedForward, x)
}

// decode runs the decoder on whole texts, ids (B, T). It returns the states (B, T, D) and the keys and
// values of each layer: of the self-attention, and of the cross-attention.
func (n *network) decode(p *pass, ids *tensor.Tensor, e encoded) (states *tensor.Tensor, cache, cross []keysValues) {
	x := n.embedTarget(p, ids, 0, e.start) // (B, T, D)
	for _, layer := range n.decoder {
		mark := p.Mark()
		kv := layer.crossAttention.project(p, e.states, e.rows) // (B, S, D) or (N, D)
		var own keysValues
		x, own = layer.forward(p, x, kv)
		p.FreeSince(mark, x, own.keys, own.values, kv.keys, kv.values)
		cache, cross = append(cache, own), append(cross, kv)
	}
	return x, cache, cross
}

// embedTarget maps the decoder's tokens (B, T), of which the first is at position from, to (B, T, D).
// It adds start (B, 1, D), unless it is nil, to the start tokens.
func (n *network) embedTarget(p *pass, ids *tensor.Tensor, from int64, start *tensor.Tensor) *tensor.Tensor {
	length := ids.Shape()[1]
	positions := p.Narrow(n.decoderPositions, 0, positionOffset+from, length) // (T, D)
	x := p.Add(n.scale(p, p.Embedding(n.tokens, ids, tokens.Pad)), positions) // (B, T, D)
	if start != nil {
		first := p.Add(p.Narrow(x, 1, 0, startTokens), start)                // (B, 2, D)
		x = p.Cat(1, first, p.Narrow(x, 1, startTokens, length-startTokens)) // (B, T, D)
	}
	return p.drop(n.decoderNorm.apply(p, x), p.dropout.residual)
}

// forward maps x (B, T, D) to the same shape with causal self-attention, whose keys and values it
// returns for later decode steps.
func (l decoderLayer) forward(p *pass, x *tensor.Tensor, cross keysValues) (*tensor.Tensor, keysValues) {
	x, own := p.backend.selfAttention(p, l.selfAttention, x, noPadding, true)
	x = p.backend.crossAttention(p, l.crossAttention, x, cross)
	return p.backend.feedForward(p, l.feedForward, x), own
}

// step is forward for one more token of each beam, x (B, K, D). The beams of a row share one KV cache;
// ancestors (B, 1, K, T+K) hides from each the tokens of others.
func (l decoderLayer) step(p *pass, x *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor, cross keysValues) (*tensor.Tensor, keysValues) {
	x, cache = p.backend.decodeStep(p, l.selfAttention, x, cache, ancestors)
	x = p.backend.crossAttention(p, l.crossAttention, x, cross)
	return p.backend.feedForward(p, l.feedForward, x), cache
}

// logits maps decoder states (..., D) to (..., V), as float32.
func (n *network) logits(p *pass, states *tensor.Tensor) *tensor.Tensor {
	return p.As(n.output(p).apply(p, states), tensor.Float32)
}

// output is the projection to logits.
func (n *network) output(p *pass) linear { return linear{n.tokens, p.View(n.logitsBias, -1)} }

// itemLogits is the dense head: it maps decoder states (B, T, D) to logits of all items (B, Items), as
// float32. They are products of the state behind the start tokens and the item embeddings; column i
// is item i+1.
func (n *network) itemLogits(p *pass, states *tensor.Tensor) *tensor.Tensor {
	items := p.Narrow(n.items, 0, 1, int64(n.config.Items))                                       // (Items, D), without row 0
	return p.As(p.Linear(p.Select(states, 1, startTokens-1), items, tensor.None), tensor.Float32) // (B, Items)
}

// floats copies row-by-row data to the device, in the kind of the weights.
func (n *network) floats(p *pass, data []float32, shape ...int64) *tensor.Tensor {
	return p.As(p.Floats(data, shape...), n.kind)
}

func (l linear) apply(p *pass, x *tensor.Tensor) *tensor.Tensor {
	return p.Linear(x, l.weight, l.bias)
}

func (n layerNorm) apply(p *pass, x *tensor.Tensor) *tensor.Tensor {
	return p.LayerNorm(x, n.weight, n.bias, n.width, layerNormEpsilon)
}

// keysValues are keys and values of attention: (B, S, D) each, or packed (N, D).
type keysValues struct {
	keys, values *tensor.Tensor
	rows         rowLayout
}

// project returns the keys and values of x (B, S, D), or packed (N, D).
func (l attentionLayer) project(p *pass, x *tensor.Tensor, rows rowLayout) keysValues {
	return keysValues{keys: l.key.apply(p, x), values: l.value.apply(p, x), rows: rows}
}

// The layers of the plain backend, which the other backends are tested against.

// selfAttention is norm(x + attention(x, x)) for x (B, T, D), or packed (N, D).
func (b plainBackend) selfAttention(p *pass, l attentionLayer, x *tensor.Tensor, rows rowLayout, causal bool) (*tensor.Tensor, keysValues) {
	own := l.project(p, x, rows)
	return b.addNorm(p, x, attend(p, l, x, own, causal), l.norm), own
}

// crossAttention is norm(x + attention(x, kv)) for x (B, T, D).
func (b plainBackend) crossAttention(p *pass, l attentionLayer, x *tensor.Tensor, kv keysValues) *tensor.Tensor {
	return b.addNorm(p, x, attend(p, l, x, kv, false), l.norm)
}

// attend is multi-head attention from x (B, T, D), or packed (N, D), with its projections.
func attend(p *pass, l attentionLayer, x *tensor.Tensor, kv keysValues, causal bool) *tensor.Tensor {
	query := l.query.apply(p, x)
	if kv.rows.isPacked() {
		return l.out.apply(p, p.PackedAttention(query, kv.keys, kv.values, kv.rows.cuSeqlens, kv.rows.maxLength, l.heads))
	}
	return l.out.apply(p, p.Attention(query, kv.keys, kv.values, kv.rows.mask, l.heads, p.dropout.attention, causal))
}

// decodeStep is self-attention of beams x (B, K, D) over the KV cache (B, T, D), to which it adds their
// keys and values.
func (b plainBackend) decodeStep(p *pass, l attentionLayer, x *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor) (*tensor.Tensor, keysValues) {
	own := l.project(p, x, rowLayout{}) // (B, K, D)
	cache = keysValues{
		keys:   p.Cat(1, cache.keys, own.keys),     // (B, T+K, D)
		values: p.Cat(1, cache.values, own.values), // (B, T+K, D)
	}
	attended := b.treeAttention(p, l.query.apply(p, x), cache, ancestors, l.heads) // (B, K, D)
	return b.addNorm(p, x, l.out.apply(p, attended), l.norm), cache
}

// feedForward is norm(x + fc2(gelu(fc1(x)))) for x (..., D).
func (b plainBackend) feedForward(p *pass, f feedForward, x *tensor.Tensor) *tensor.Tensor {
	inner := p.drop(p.Gelu(f.fc1.apply(p, x)), p.dropout.activation)
	return b.addNorm(p, x, f.fc2.apply(p, inner), f.norm)
}
