package libtorch

/*
#include "layers.h"
*/
import "C"

import "unsafe"

// Projection is a weight (out, in) and its bias (out).
type Projection struct{ Weight, Bias unsafe.Pointer }

// Norm is a layer norm's weight and bias (D).
type Norm struct {
	Weight, Bias unsafe.Pointer
	Epsilon      float64
}

// AttentionBlock is attention between its projections, and the norm of its sum with what
// came in.
type AttentionBlock struct {
	Query, Key, Value, Join Projection
	Norm                    Norm
	Heads                   int64
}

func (p Projection) c() C.struct_genrec_projection {
	return C.struct_genrec_projection{weight: p.Weight, bias: p.Bias}
}

func (n Norm) c() C.struct_genrec_norm {
	return C.struct_genrec_norm{weight: n.Weight, bias: n.Bias, epsilon: C.double(n.Epsilon)}
}

func (b AttentionBlock) c() *C.struct_genrec_attention_block {
	return &C.struct_genrec_attention_block{
		query: b.Query.c(), key: b.Key.c(), value: b.Value.c(), join: b.Join.c(), norm: b.Norm.c(), heads: C.int64_t(b.Heads),
	}
}

// SelfAttention applies the block to x (B, T, D) and returns the result (B, T, D) with all
// keys and values (B, P+T, D), of which the earlier ones (B, P, D) may be nil. The mask
// may be undefined, or broadcasts to (B, 1, T, P+T); causal hides later positions of x. Like
// all of this file, it is for a CPU, float32 and inference.
func (b AttentionBlock) SelfAttention(x, keys, values, mask unsafe.Pointer, causal bool) (out [3]unsafe.Pointer, err error) {
	var message *C.char
	var flag C.int
	if causal {
		flag = 1
	}
	ok := C.genrec_self_attention_block(b.c(), x, keys, values, mask, flag, &out[0], &message)
	return out, failure(ok, message)
}

// CrossAttention applies the block to x (B, T, D) with keys and values (B, S, D) of something
// else; the mask may be undefined, or is (B, 1, 1, S).
func (b AttentionBlock) CrossAttention(x, keys, values, mask unsafe.Pointer) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_cross_attention_block(b.c(), x, keys, values, mask, &out, &message)
	return out, failure(ok, message)
}

// FeedForward is the norm of x (..., D) and back(gelu(in(x))).
func FeedForward(in, back Projection, norm Norm, x unsafe.Pointer) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_feed_forward_block(in.c(), back.c(), norm.c(), x, &out, &message)
	return out, failure(ok, message)
}

// Continue returns the scores, tokens, nodes and parents of the best continuations (B, K') of
// beams with given logits (B*K, V), nodes and scores (B, K). The children of nodes are the
// rows of three tables (N, A): tokens, nodes, and 0 where there is a child.
func Continue(logits, nodes, scores, childToken, childNode, childBias unsafe.Pointer, keep int64) (out [4]unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_continue(logits, nodes, scores, childToken, childNode, childBias, C.int64_t(keep), &out[0], &message)
	return out, failure(ok, message)
}

func failure(ok C.int, message *C.char) error {
	if ok == 0 {
		return take(message)
	}
	return nil
}
