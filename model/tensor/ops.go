package tensor

import (
	"slices"
	"unsafe"

	"github.com/sugarme/gotch"
	lib "github.com/sugarme/gotch/libtch"

	"genrec/model/libtorch"
)

// Scope runs operations on one device and owns their results until Free, since the garbage collector
// does not see libtorch's memory.
type Scope struct {
	// Device is where tensors are made.
	Device  gotch.Device
	results []*Tensor
}

func (s *Scope) own(t *Tensor) *Tensor {
	s.results = append(s.results, t)
	return t
}

// Free drops all results except those in keep, which the scope still owns.
func (s *Scope) Free(keep ...*Tensor) { s.FreeSince(0, keep...) }

// Mark is the number of results so far, for FreeSince.
func (s *Scope) Mark() int { return len(s.results) }

// FreeSince is Free for the results since a mark. Backward does not need the handles.
func (s *Scope) FreeSince(mark int, keep ...*Tensor) {
	kept := s.results[:mark]
	for _, t := range s.results[mark:] {
		if slices.Contains(keep, t) {
			kept = append(kept, t)
		} else {
			t.Drop()
		}
	}
	clear(s.results[len(kept):])
	s.results = kept
}

// Give moves results to another scope.
func (s *Scope) Give(to *Scope, results ...*Tensor) {
	s.results = slices.DeleteFunc(s.results, func(t *Tensor) bool { return slices.Contains(results, t) })
	to.results = append(to.results, results...)
}

// run is call with the result owned by the scope.
func (s *Scope) run(operation func(out *lib.Ctensor)) *Tensor { return s.own(call(operation)) }

// made owns the result of a call to package libtorch.
func (s *Scope) made(t unsafe.Pointer, err error) *Tensor {
	raise(err)
	return s.own(handle(lib.Ctensor(t)))
}

func pointer(t *Tensor) unsafe.Pointer { return unsafe.Pointer(t.c) }

// Handle is the tensor as an argument for package libtorch.
func (t *Tensor) Handle() unsafe.Pointer { return pointer(t) }

// Linear is x·weightᵀ + bias; bias may be None.
func (s *Scope) Linear(x, weight, bias *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgLinear(out, x.c, weight.c, bias.c) })
}

// LayerNorm normalizes over the last dimension, of the given width.
func (s *Scope) LayerNorm(x, weight, bias *Tensor, width int64, epsilon float64) *Tensor {
	return s.run(func(out *lib.Ctensor) {
		lib.AtgLayerNorm(out, x.c, []int64{width}, 1, weight.c, bias.c, epsilon, 1)
	})
}

// Embedding looks up rows of a table (R, D) by ids (...): (..., D). The row of the padding index gets
// no gradient; -1 is no row.
func (s *Scope) Embedding(table, ids *Tensor, padding int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgEmbedding(out, table.c, ids.c, padding, 0, 0) })
}

// Dropout zeroes elements with probability p and scales up the rest. On a CPU it draws from the random
// stream of state, on a GPU from libtorch's generator.
func (s *Scope) Dropout(x *Tensor, p float64, state *uint64) *Tensor {
	if s.Device.IsCuda() {
		return s.run(func(out *lib.Ctensor) { lib.AtgDropout(out, x.c, p, 1) })
	}
	return s.Multiply(x, s.made(libtorch.DropoutMask(x.Shape(), p, state)))
}

// Gelu is the exact Gaussian error linear unit.
func (s *Scope) Gelu(x *Tensor) *Tensor { return s.made(libtorch.Gelu(pointer(x))) }

// Attention is softmax(query·keysᵀ/√width + mask)·values for each of the heads that the last
// dimension is split into: query (B, T, D), keys and values (B, S, D), result (B, T, D). The mask is
// None, or broadcasts to (B, H, T, S); causal hides later positions; dropout is the probability that
// an attention weight is zeroed.
func (s *Scope) Attention(query, keys, values, mask *Tensor, heads int64, dropout float64, causal bool) *Tensor {
	return s.made(libtorch.Attention(pointer(query), pointer(keys), pointer(values), pointer(mask), heads, dropout, causal))
}

// PackedAttention is Attention over rows without padding, for inference: keys and values (N, D) hold
// one row after the other, which begin at cuSeqlens (B+1) of Int32 and are at most maxLength long. The
// query is packed likewise, or (B, T, D); the result has its shape.
func (s *Scope) PackedAttention(query, keys, values, cuSeqlens *Tensor, maxLength, heads int64) *Tensor {
	return s.made(libtorch.PackedAttention(pointer(query), pointer(keys), pointer(values), pointer(cuSeqlens), maxLength, heads))
}

// AddNorm is the layer norm of x + sublayer, both (..., D).
func (s *Scope) AddNorm(x, sublayer, weight, bias *Tensor, width int64, epsilon float64) *Tensor {
	sum := call(func(out *lib.Ctensor) { lib.AtgAdd(out, x.c, sublayer.c) })
	defer sum.Drop()
	return s.LayerNorm(sum, weight, bias, width, epsilon)
}

// LogProbs returns the log-probabilities of some columns (R, A) of logits (R, V), as float32.
func (s *Scope) LogProbs(logits, columns *Tensor) *Tensor {
	all := call(func(out *lib.Ctensor) { lib.AtgLogSoftmax(out, logits.c, -1, gotch.Float.CInt()) })
	defer all.Drop()
	return s.Gather(all, 1, columns)
}

// Add is a + b, broadcasting.
func (s *Scope) Add(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgAdd(out, a.c, b.c) })
}

// Product is the matrix product of a (B, N, D) and b (B, D, M): (B, N, M).
func (s *Scope) Product(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgBmm(out, a.c, b.c) })
}

// LogSumExp is log(sum(exp(x))) over the last dimension of x (B, N): (B, 1).
func (s *Scope) LogSumExp(x *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgLogsumexp(out, x.c, []int64{-1}, 1, 1) })
}

// Subtract returns a - b.
func (s *Scope) Subtract(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgSub(out, a.c, b.c) })
}

// Multiply is a · b, element by element, broadcasting.
func (s *Scope) Multiply(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgMul(out, a.c, b.c) })
}

// Sum adds up along a dimension, which it removes.
func (s *Scope) Sum(x *Tensor, dim int64) *Tensor {
	kind := lib.AtScalarType(x.c)
	return s.run(func(out *lib.Ctensor) { lib.AtgSumDimIntlist(out, x.c, []int64{dim}, 1, 0, kind) })
}

// Scale is x times a number.
func (s *Scope) Scale(x *Tensor, factor float64) *Tensor {
	return s.scalar(factor, func(out *lib.Ctensor, c lib.Cscalar) { lib.AtgMulScalar(out, x.c, c) })
}

// AddInt is integers plus a number.
func (s *Scope) AddInt(x *Tensor, number int64) *Tensor {
	c := lib.AtsInt(number)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgAddScalar(out, x.c, c) })
}

// ClampNegative replaces negative integers by 0.
func (s *Scope) ClampNegative(x *Tensor) *Tensor {
	c := lib.AtsInt(0)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgClampMin(out, x.c, c) })
}

// EmbeddingBag looks up rows of a table (R, D) by ids (N) and sums them by segments, weighted by
// weights (N) of the table's kind: (B, D). Segments begin at offsets (B+1), which include the end of
// the last one. It is for inference only.
func (s *Scope) EmbeddingBag(table, ids, offsets, weights *Tensor) *Tensor {
	const sum = 0
	var out [4]lib.Ctensor // the operation stores four results
	bag := s.run(func(first *lib.Ctensor) {
		lib.AtgEmbeddingBag(&out[0], table.c, ids.c, offsets.c, 0, sum, 0, weights.c, 1)
		*first = out[0]
	})
	for _, further := range out[1:] {
		handle(further).Drop()
	}
	return bag
}

// MultiplyInt is integers times a number.
func (s *Scope) MultiplyInt(x *Tensor, factor int64) *Tensor {
	c := lib.AtsInt(factor)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgMulScalar(out, x.c, c) })
}

// GreaterEqual is x >= limit.
func (s *Scope) GreaterEqual(x *Tensor, limit int64) *Tensor {
	c := lib.AtsInt(limit)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgGe(out, x.c, c) })
}

// Equal is x == number.
func (s *Scope) Equal(x *Tensor, number int64) *Tensor {
	c := lib.AtsInt(number)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgEq(out, x.c, c) })
}

// Not negates booleans.
func (s *Scope) Not(x *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgLogicalNot(out, x.c) })
}

// MaskedFill is x with a value where mask, which broadcasts, is true.
func (s *Scope) MaskedFill(x, mask *Tensor, value float64) *Tensor {
	return s.scalar(value, func(out *lib.Ctensor, c lib.Cscalar) { lib.AtgMaskedFill(out, x.c, mask.c, c) })
}

// FloorDivide divides integers, rounding down.
func (s *Scope) FloorDivide(x *Tensor, divisor int64) *Tensor {
	c := lib.AtsInt(divisor)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgFloorDivideScalar(out, x.c, c) })
}

func (s *Scope) scalar(value float64, operation func(*lib.Ctensor, lib.Cscalar)) *Tensor {
	var t *Tensor
	withScalar(value, func(c lib.Cscalar) {
		t = s.run(func(out *lib.Ctensor) { operation(out, c) })
	})
	return t
}

// View is x in another shape, without a copy.
func (s *Scope) View(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgView(out, x.c, shape, len(shape)) })
}

// Reshape is View, with a copy where it is needed.
func (s *Scope) Reshape(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgReshape(out, x.c, shape, len(shape)) })
}

// Expand repeats the dimensions of size 1 without a copy.
func (s *Scope) Expand(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgExpand(out, x.c, shape, len(shape), 0) })
}

// Select takes one index of a dimension, which it removes.
func (s *Scope) Select(x *Tensor, dim, index int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgSelect(out, x.c, dim, index) })
}

// Narrow takes a range of a dimension.
func (s *Scope) Narrow(x *Tensor, dim, start, length int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgNarrow(out, x.c, dim, start, length) })
}

// IndexSelect takes the given indices of a dimension.
func (s *Scope) IndexSelect(x *Tensor, dim int64, index *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgIndexSelect(out, x.c, dim, index.c) })
}

// Gather takes elements along a dimension by their index.
func (s *Scope) Gather(x *Tensor, dim int64, index *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgGather(out, x.c, dim, index.c, 0) })
}

// Cat concatenates tensors along a dimension.
func (s *Scope) Cat(dim int64, tensors ...*Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgCat(out, handles(tensors), len(tensors), dim) })
}

func handles(tensors []*Tensor) []lib.Ctensor {
	all := make([]lib.Ctensor, len(tensors))
	for i, t := range tensors {
		all[i] = t.c
	}
	return all
}

// TopK returns the k largest elements of the last dimension, largest first, and their indices.
func (s *Scope) TopK(x *Tensor, k int64) (values, indices *Tensor) {
	values, indices = topK(x, k)
	return s.own(values), s.own(indices)
}

// TopIndices returns the indices of the k largest elements of the last dimension, largest first.
func (s *Scope) TopIndices(x *Tensor, k int64) *Tensor {
	values, indices := topK(x, k)
	values.Drop()
	return s.own(indices)
}

func topK(x *Tensor, k int64) (values, indices *Tensor) {
	var pair [2]lib.Ctensor // the operation stores two results
	values = call(func(out *lib.Ctensor) {
		lib.AtgTopk(&pair[0], x.c, k, -1, 1, 1)
		*out = pair[0]
	})
	return values, handle(pair[1])
}

// CrossEntropy is the cross-entropy of labels (N) under logits (N, V), summed over the labels that are
// not ignored, in nats.
func (s *Scope) CrossEntropy(logits, labels *Tensor, ignored int64) *Tensor {
	const sum = 2
	return s.run(func(out *lib.Ctensor) {
		lib.AtgCrossEntropyLoss(out, logits.c, labels.c, None.c, sum, ignored, 0)
	})
}
