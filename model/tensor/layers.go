package tensor

import (
	"unsafe"

	"genrec/model/libtorch"
)

// SelfAttention applies the block to x (B, T, D) and returns the result (B, T, D) with all
// keys and values (B, P+T, D), of which the earlier ones (B, P, D) may be nil. The mask is
// None, or broadcasts to (B, 1, T, P+T); causal hides later positions of x. Like all of this
// file, it is for a CPU, float32 and inference.
func (s *Scope) SelfAttention(b libtorch.AttentionBlock, x, earlierKeys, earlierValues, mask *Tensor, causal bool) (result, keys, values *Tensor) {
	var before [2]unsafe.Pointer
	if earlierKeys != nil {
		before = [2]unsafe.Pointer{pointer(earlierKeys), pointer(earlierValues)}
	}
	out, err := b.SelfAttention(pointer(x), before[0], before[1], pointer(mask), causal)
	return s.made(out[0], err), s.made(out[1], err), s.made(out[2], err)
}

// CrossAttention applies the block to x (B, T, D) with keys and values (B, S, D) of something
// else; the mask is None, or (B, 1, 1, S).
func (s *Scope) CrossAttention(b libtorch.AttentionBlock, x, keys, values, mask *Tensor) *Tensor {
	return s.made(b.CrossAttention(pointer(x), pointer(keys), pointer(values), pointer(mask)))
}

// FeedForward is the norm of x (..., D) and back(gelu(in(x))).
func (s *Scope) FeedForward(in, back libtorch.Projection, norm libtorch.Norm, x *Tensor) *Tensor {
	return s.made(libtorch.FeedForward(in, back, norm, pointer(x)))
}

// Continue returns the scores, tokens, nodes and parents of the best continuations (B, K') of
// beams with given logits (B*K, V), nodes and scores (B, K). The children of nodes are the
// rows of three tables (N, A): tokens, nodes, and 0 where there is a child.
func (s *Scope) Continue(logits, nodes, scores, childToken, childNode, childBias *Tensor, keep int64) (best, tokens, next, parents *Tensor) {
	out, err := libtorch.Continue(pointer(logits), pointer(nodes), pointer(scores), pointer(childToken), pointer(childNode), pointer(childBias), keep)
	return s.made(out[0], err), s.made(out[1], err), s.made(out[2], err), s.made(out[3], err)
}
