package model

import (
	"math"
	"slices"

	"genrec/model/examples"
	"genrec/model/rank"
	"genrec/model/tensor"
)

// A batch goes to the device in three steps: a packing decides how the rows of the encoder's input are
// arranged, a hostBatch collects all of the network's inputs in two arrays, one of integers and one of
// floats, and a deviceBatch holds views of their copies on the device.

// packing arranges the encoder's positions: padded to the longest row, as (B, S, ...), or packed, as
// (N, ...), one row after the other, so that no work is spent on padding.
type packing struct {
	rows    int64
	length  int64   // padded: S; packed: of the longest row, at most
	indices []int64 // packed: of the N positions in the padded batch (B*S); nil if padded
}

func padded(b examples.Batch) packing { return packing{rows: int64(b.Rows), length: int64(b.Length)} }

func packed(b examples.Batch) packing {
	p := padded(b)
	for row, length := range b.Lengths {
		for i := range length {
			p.indices = append(p.indices, int64(row*b.Length)+i)
		}
	}
	return p
}

// padTo adds positions that belong to no row, and raises the bound on the length of rows.
func (p packing) padTo(positions, length int64) packing {
	p.indices = append(p.indices, slices.Repeat(p.indices[:1], int(positions)-len(p.indices))...)
	p.length = length
	return p
}

func (p packing) isPacked() bool { return p.indices != nil }

// shape is (B, S) or (N).
func (p packing) shape() []int64 {
	if p.isPacked() {
		return []int64{int64(len(p.indices))}
	}
	return []int64{p.rows, p.length}
}

// cuSeqlens (B+1) are the cumulative lengths of the rows: where each begins in a packed batch, and the
// end of the last one.
func cuSeqlens(b examples.Batch) []int64 {
	cumulative := make([]int64, 1, b.Rows+1)
	for _, length := range b.Lengths {
		cumulative = append(cumulative, cumulative[len(cumulative)-1]+length)
	}
	return cumulative
}

// pack arranges padded data (B, S, sizes).
func pack[T int64 | float32](p packing, data []T, sizes ...int64) []T {
	if !p.isPacked() {
		return data
	}
	each := 1
	for _, size := range sizes {
		each *= int(size)
	}
	packed := make([]T, 0, len(p.indices)*each)
	for _, index := range p.indices {
		packed = append(packed, data[int(index)*each:][:each]...)
	}
	return packed
}

// hostBatch is a batch in memory of the host, of which one copy brings all integers to the device and
// another one all floats. Offsets depend on its shape only, so that a CUDA graph can be replayed on
// another hostBatch of the same shape.
type hostBatch struct {
	packing
	ints              []int64
	floats            []float32
	tokensPerPosition int64 // P

	tokens      segment // (B, S) or (N), or with several tokens per position (B, S, P) or (N, P)
	users       segment // (B, S) or (N)
	items       segment // (B, S) or (N)
	positions   segment // (B, S) or (N)
	cuSeqlens   segment // packed: (B+1)
	newest      segment // (B, 1), if the decoder starts from the newest item
	proposals   segment // (B, R), if there are any
	mask        segment // padded: (B, 1, 1, S)
	itemWeights segment // (B, S) or (N), if the decoder starts from the mean of the items
	endedMask   segment // (B, K'), if texts may end before the last step
}

// segment is the part of a hostBatch's integers or floats that makes one tensor; without a shape, there
// is no such tensor.
type segment struct {
	offset int64
	shape  []int64
}

func (h *hostBatch) putInts(data []int64, shape ...int64) segment {
	s := segment{int64(len(h.ints)), shape}
	h.ints = append(h.ints, data...)
	return s
}

func (h *hostBatch) putFloats(data []float32, shape ...int64) segment {
	s := segment{int64(len(h.floats)), shape}
	h.floats = append(h.floats, data...)
	return s
}

// view is the segment of the uploaded integers or floats, without a copy.
func (s segment) view(p *pass, uploaded *tensor.Tensor) *tensor.Tensor {
	if s.shape == nil {
		return nil
	}
	n := int64(1)
	for _, size := range s.shape {
		n *= size
	}
	return p.View(p.Narrow(uploaded, 0, s.offset, n), s.shape...)
}

// hostBatch collects the network's inputs.
func (n *network) hostBatch(b examples.Batch, arranged packing) *hostBatch {
	h := &hostBatch{packing: arranged, tokensPerPosition: int64(b.Depth)}
	put := func(data []int64, sizes ...int64) segment {
		return h.putInts(pack(arranged, data, sizes...), append(arranged.shape(), sizes...)...)
	}
	if b.Depth == 1 {
		h.tokens = put(b.Tokens)
	} else {
		h.tokens = put(b.Tokens, int64(b.Depth))
	}
	h.users, h.items, h.positions = put(b.Users), put(b.Items), put(n.positions(b))
	offsets := cuSeqlens(b)
	if arranged.isPacked() {
		h.cuSeqlens = h.putInts(offsets, arranged.rows+1)
	} else {
		h.mask = h.putFloats(paddingMask(b, arranged), arranged.rows, 1, 1, arranged.length)
	}
	if n.config.StartFromNewest {
		h.newest = h.putInts(b.Newest, arranged.rows, 1)
	}
	if n.config.StartFromMean {
		weights := pack(arranged, itemWeights(b))
		if arranged.isPacked() {
			clear(weights[offsets[arranged.rows]:]) // of positions that belong to no row
		}
		h.itemWeights = h.putFloats(weights, arranged.shape()...)
	}
	return h
}

// hostBatch collects the network's inputs for the requests, and those of the search. Rows
// beyond the requests have no proposals.
func (s *Searcher) hostBatch(requests []*rank.Request, b examples.Batch, arranged packing, shape batchShape) *hostBatch {
	h := s.network.hostBatch(b, arranged)
	if shape.proposals > 0 {
		proposals := make([]int64, arranged.rows*shape.proposals)
		for row, r := range requests {
			copy(proposals[int64(row)*shape.proposals:], r.Proposals)
		}
		h.proposals = h.putInts(proposals, arranged.rows, shape.proposals)
	}
	if shape.Beams && s.trie.MinDepth < s.trie.MaxDepth {
		keep := s.beamWidth + shape.spare
		mask := make([]float32, arranged.rows*keep)
		for row, r := range requests {
			for i := s.beamWidth + int64(r.Spare); i < keep; i++ {
				mask[int64(row)*keep+i] = float32(math.Inf(-1))
			}
		}
		h.endedMask = h.putFloats(mask, arranged.rows, keep)
	}
	return h
}

func batchOf(requests []*rank.Request) examples.Batch {
	inputs := make([]examples.Input, len(requests))
	for i, r := range requests {
		inputs[i] = r.Input
	}
	return examples.NewBatch(inputs)
}

// itemWeights (B, S) weights the positions with an item equally, so that a row's sum is a mean.
func itemWeights(b examples.Batch) []float32 {
	weights := make([]float32, b.Rows*b.Length)
	for row := range b.Rows {
		items := b.Items[row*b.Length:][:b.Length]
		count := 0
		for _, item := range items {
			if item != noID {
				count++
			}
		}
		for i, item := range items {
			if item != noID {
				weights[row*b.Length+i] = 1 / float32(count)
			}
		}
	}
	return weights
}

// positions (B, S) are rows of the encoder's position table.
func (n *network) positions(b examples.Batch) []int64 {
	positions := make([]int64, len(b.Users))
	for i := range positions {
		if n.config.NewestFirst {
			positions[i] = b.Distance[i] + positionOffset
		} else {
			positions[i] = int64(i%b.Length) + positionOffset
		}
	}
	return positions
}

// paddingMask (B, S) is 0 on tokens and -inf on padding.
func paddingMask(b examples.Batch, arranged packing) []float32 {
	mask := make([]float32, arranged.rows*arranged.length)
	for row, length := range b.Lengths {
		for i := length; i < arranged.length; i++ {
			mask[int64(row)*arranged.length+i] = float32(math.Inf(-1))
		}
	}
	return mask
}

// upload copies all integers and all floats to the device, the latter nil if there are none.
func (h *hostBatch) upload(p *pass) (ints, floats *tensor.Tensor) {
	ints = p.Ints(h.ints, int64(len(h.ints)))
	if len(h.floats) > 0 {
		floats = p.Floats(h.floats, int64(len(h.floats)))
	}
	return ints, floats
}

// deviceBatch is a batch on the device. Its tensors have the shapes of the hostBatch's segments, and are
// nil where there is none.
type deviceBatch struct {
	rows, tokensPerPosition         int64 // B, P
	tokens, users, items, positions *tensor.Tensor
	rowLayout                       rowLayout
	offsets                         *tensor.Tensor // cuSeqlens as int64
	newest                          *tensor.Tensor
	itemWeights                     *tensor.Tensor
	endedMask                       *tensor.Tensor
	proposals                       *tensor.Tensor
}

// rowLayout tells attention which positions of a tensor belong to which row.
type rowLayout struct {
	mask      *tensor.Tensor // padded (B, S, D): (B, 1, 1, S), 0 on tokens and -inf on padding, or None
	cuSeqlens *tensor.Tensor // packed (N, D): cumulative lengths (B+1) of int32; nil if padded
	maxLength int64          // packed: of the longest row, at most
}

// noPadding is the layout of rows (B, S, D) that are equally long.
var noPadding = rowLayout{mask: tensor.None}

func (r rowLayout) isPacked() bool { return r.cuSeqlens != nil }

// onDevice returns views of what upload has copied.
func (n *network) onDevice(p *pass, h *hostBatch, ints, floats *tensor.Tensor) deviceBatch {
	inKind := func(x *tensor.Tensor) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return p.As(x, n.kind)
	}
	b := deviceBatch{
		rows: h.rows, tokensPerPosition: h.tokensPerPosition,
		tokens: h.tokens.view(p, ints), users: h.users.view(p, ints), items: h.items.view(p, ints), positions: h.positions.view(p, ints),
		newest: h.newest.view(p, ints), proposals: h.proposals.view(p, ints),
		itemWeights: inKind(h.itemWeights.view(p, floats)), endedMask: h.endedMask.view(p, floats),
		rowLayout: noPadding,
	}
	if h.isPacked() {
		b.offsets = h.cuSeqlens.view(p, ints)
		b.rowLayout.cuSeqlens, b.rowLayout.maxLength = p.As(b.offsets, tensor.Int32), h.length
	} else {
		b.rowLayout.mask = inKind(h.mask.view(p, floats))
	}
	return b
}

// upload copies a batch to the device.
func (n *network) upload(p *pass, b examples.Batch, arranged packing) deviceBatch {
	h := n.hostBatch(b, arranged)
	ints, floats := h.upload(p)
	return n.onDevice(p, h, ints, floats)
}

// meanItem is the mean of the embeddings of each row's items, given their table and the embedded items
// (B, S, D) or (N, D): (B, D).
func (b deviceBatch) meanItem(p *pass, table, embedded *tensor.Tensor) *tensor.Tensor {
	if b.rowLayout.isPacked() {
		return p.EmbeddingBag(table, b.items, b.offsets, b.itemWeights)
	}
	return p.Sum(p.Multiply(embedded, p.View(b.itemWeights, append(b.itemWeights.Shape(), 1)...)), 1)
}
