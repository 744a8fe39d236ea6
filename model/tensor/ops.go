package tensor

import (
	"unsafe"

	"github.com/sugarme/gotch"
	lib "github.com/sugarme/gotch/libtch"

	"genrec/model/libtorch"
)

// run is call with the result owned by the scope.
func (s *Scope) run(operation func(out *lib.Ctensor)) *Tensor { return s.own(call(operation)) }

// made takes the result of a call that goes past gotch.
func (s *Scope) made(t unsafe.Pointer, err error) *Tensor {
	raise(err)
	return s.own(handle(lib.Ctensor(t)))
}

func pointer(t *Tensor) unsafe.Pointer { return unsafe.Pointer(t.c) }

// Handle is the tensor as functions of package libtorch take it.
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

// Embedding looks up rows; rows of the padding index get no gradient (-1: none).
func (s *Scope) Embedding(table, ids *Tensor, padding int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgEmbedding(out, table.c, ids.c, padding, 0, 0) })
}

// Dropout zeroes a share of the elements and scales up the rest. On a CPU, the stream
// of random numbers is that of state; elsewhere it is libtorch's.
func (s *Scope) Dropout(x *Tensor, share float64, state *uint64) *Tensor {
	if s.Device.IsCuda() {
		return s.run(func(out *lib.Ctensor) { lib.AtgDropout(out, x.c, share, 1) })
	}
	return s.Multiply(x, s.made(libtorch.DropoutMask(x.Shape(), share, state)))
}

// Gelu is the exact Gaussian error linear unit.
func (s *Scope) Gelu(x *Tensor) *Tensor { return s.made(libtorch.Gelu(pointer(x))) }

// Attention is softmax(x·keysᵀ/√width + mask)·values for each of the heads that the last
// dimension of x (B, T, D), keys and values (B, S, D) is cut into: (B, T, D). The mask is None
// or broadcasts to (B, H, T, S); causal hides later positions; dropout zeroes a share of the
// probabilities.
func (s *Scope) Attention(x, keys, values, mask *Tensor, heads int64, dropout float64, causal bool) *Tensor {
	return s.made(libtorch.Attention(pointer(x), pointer(keys), pointer(values), pointer(mask), heads, dropout, causal))
}

// PackedAttention is Attention, without gradients, to keys and values (N, D) that stand one
// request after the other from starts (B+1) of Int32, the longest as long as given. x stands
// like them, or is (B, T, D).
func (s *Scope) PackedAttention(x, keys, values, starts *Tensor, longest, heads int64) *Tensor {
	return s.made(libtorch.PackedAttention(pointer(x), pointer(keys), pointer(values), pointer(starts), longest, heads))
}

// PathAttention is Attention, without gradients, from x (B, K, D) to keys and values
// (B, T, D), of which the mask (B, 1, K, T) hides most.
func (s *Scope) PathAttention(x, keys, values, mask *Tensor, heads int64) *Tensor {
	return s.made(libtorch.PathAttention(pointer(x), pointer(keys), pointer(values), pointer(mask), heads))
}

// AddNorm is the LayerNorm of x + block.
func (s *Scope) AddNorm(x, block, weight, bias *Tensor, epsilon float64) *Tensor {
	return s.made(libtorch.AddNorm(pointer(x), pointer(block), pointer(weight), pointer(bias), epsilon))
}

// LogProbs are the log-probabilities of some columns (R, A) of logits (R, V), as float32.
func (s *Scope) LogProbs(logits, columns *Tensor) *Tensor {
	return s.made(libtorch.LogProbs(pointer(logits), pointer(columns)))
}

// Add is a + b, broadcasting.
func (s *Scope) Add(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgAdd(out, a.c, b.c) })
}

// Multiply is a · b, element by element, broadcasting.
func (s *Scope) Multiply(a, b *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgMul(out, a.c, b.c) })
}

// Sum adds up along a dimension, which goes away.
func (s *Scope) Sum(x *Tensor, dim int64) *Tensor {
	kind := lib.AtScalarType(x.c)
	return s.run(func(out *lib.Ctensor) { lib.AtgSumDimIntlist(out, x.c, []int64{dim}, 1, 0, kind) })
}

// Scale is x times a number.
func (s *Scope) Scale(x *Tensor, factor float64) *Tensor {
	return s.scalar(factor, func(out *lib.Ctensor, c lib.Cscalar) { lib.AtgMulScalar(out, x.c, c) })
}

// Plus is integers plus a number.
func (s *Scope) Plus(x *Tensor, number int64) *Tensor {
	c := lib.AtsInt(number)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgAddScalar(out, x.c, c) })
}

// AtLeastZero is x with 0 in place of negative integers.
func (s *Scope) AtLeastZero(x *Tensor) *Tensor {
	c := lib.AtsInt(0)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgClampMin(out, x.c, c) })
}

// SumOfRows looks up rows of a table (R, D) by ids (N) and sums them by segments, weighted by
// weights (N) of the table's kind: (B, D). The segments begin at starts (B+1), the end of the
// last among them. It is for inference alone.
func (s *Scope) SumOfRows(table, ids, starts, weights *Tensor) *Tensor {
	const sum = 0
	var out [4]lib.Ctensor // libtorch stores further results behind the first
	bag := s.run(func(first *lib.Ctensor) {
		lib.AtgEmbeddingBag(&out[0], table.c, ids.c, starts.c, 0, sum, 0, weights.c, 1)
		*first = out[0]
	})
	for _, further := range out[1:] {
		handle(further).Drop()
	}
	return bag
}

// Times is integers times a number.
func (s *Scope) Times(x *Tensor, factor int64) *Tensor {
	c := lib.AtsInt(factor)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgMulScalar(out, x.c, c) })
}

// AtLeast says where x is not below a limit.
func (s *Scope) AtLeast(x *Tensor, limit int64) *Tensor {
	c := lib.AtsInt(limit)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgGe(out, x.c, c) })
}

// Equals says where x is a number.
func (s *Scope) Equals(x *Tensor, number int64) *Tensor {
	c := lib.AtsInt(number)
	defer lib.AtsFree(c)
	return s.run(func(out *lib.Ctensor) { lib.AtgEq(out, x.c, c) })
}

// Not negates truth values.
func (s *Scope) Not(x *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgLogicalNot(out, x.c) })
}

// Fill is x with one value where mask, which broadcasts, is true.
func (s *Scope) Fill(x, mask *Tensor, value float64) *Tensor {
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

// View reads x in another shape without a copy.
func (s *Scope) View(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgView(out, x.c, shape, len(shape)) })
}

// Reshape is View that copies where it has to.
func (s *Scope) Reshape(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgReshape(out, x.c, shape, len(shape)) })
}

// Expand repeats the dimensions of size 1 without a copy.
func (s *Scope) Expand(x *Tensor, shape ...int64) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgExpand(out, x.c, shape, len(shape), 0) })
}

// Select takes one index of a dimension, which goes away.
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

// Gather takes, along a dimension, the element that index names at each place.
func (s *Scope) Gather(x *Tensor, dim int64, index *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgGather(out, x.c, dim, index.c, 0) })
}

// Cat joins tensors along a dimension.
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

// TopK returns the k largest elements of the last dimension, largest first, and
// their indices.
func (s *Scope) TopK(x *Tensor, k int64) (values, indices *Tensor) {
	var pair [2]lib.Ctensor // libtorch stores the second result behind the first
	values = s.run(func(out *lib.Ctensor) {
		lib.AtgTopk(&pair[0], x.c, k, -1, 1, 1)
		*out = pair[0]
	})
	return values, s.own(handle(pair[1]))
}

// Largest returns the indices of the k largest elements of each row of x (R, N), largest first.
func (s *Scope) Largest(x *Tensor, k int64) *Tensor { return s.made(libtorch.Largest(pointer(x), k)) }

// LogSoftmax is the log-probability over the last dimension.
func (s *Scope) LogSoftmax(x *Tensor) *Tensor {
	return s.run(func(out *lib.Ctensor) { lib.AtgLogSoftmax(out, x.c, -1, gotch.Float.CInt()) })
}

// CrossEntropy is the sum over the labels that are not ignored, in nats: logits
// (N, V), labels (N).
func (s *Scope) CrossEntropy(logits, labels *Tensor, ignored int64) *Tensor {
	const sum = 2
	return s.run(func(out *lib.Ctensor) {
		lib.AtgCrossEntropyLoss(out, logits.c, labels.c, None.c, sum, ignored, 0)
	})
}
