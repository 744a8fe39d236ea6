package libtorch

/*
#include "fused.h"
#include "beams.h"
*/
import "C"

import "unsafe"

// Linear is a linear layer.
type Linear struct {
	// Weight is a tensor (out, in), Bias a tensor (out).
	Weight, Bias unsafe.Pointer
}

// LayerNorm is a layer norm over vectors of width D.
type LayerNorm struct {
	// Weight and Bias are tensors (D).
	Weight, Bias unsafe.Pointer
	// Epsilon is added to the variance.
	Epsilon float64
}

// AttentionLayer is attention between its projections, followed by the norm of the residual sum.
type AttentionLayer struct {
	// Query, Key, Value and Out are projections (D, D).
	Query, Key, Value, Out Linear
	// Norm is applied to the layer's input plus the projected attention.
	Norm LayerNorm
	// Heads is the number of attention heads.
	Heads int64
}

func (l Linear) c() C.struct_genrec_linear {
	return C.struct_genrec_linear{weight: l.Weight, bias: l.Bias}
}

func (n LayerNorm) c() C.struct_genrec_layer_norm {
	return C.struct_genrec_layer_norm{weight: n.Weight, bias: n.Bias, epsilon: C.double(n.Epsilon)}
}

func (l AttentionLayer) c() *C.struct_genrec_attention_layer {
	return &C.struct_genrec_attention_layer{
		query: l.Query.c(), key: l.Key.c(), value: l.Value.c(), out: l.Out.c(), norm: l.Norm.c(), heads: C.int64_t(l.Heads),
	}
}

// FusedSelfAttention applies the layer to x (B, T, D). It returns the result (B, T, D) and all
// keys and values (B, P+T, D), of which the cached ones (B, P, D) may be nil. The mask may be
// undefined, or broadcasts to (B, 1, T, P+T); causal hides later positions of x. All functions
// of this file are for a CPU, float32 and inference.
func (l AttentionLayer) FusedSelfAttention(x, cachedKeys, cachedValues, mask unsafe.Pointer, causal bool) (out [3]unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_fused_self_attention(l.c(), x, cachedKeys, cachedValues, mask, flag(causal), &out[0], &message)
	return out, failure(ok, message)
}

// FusedCrossAttention applies the layer to x (B, T, D) with keys and values (B, S, D) of another
// sequence; the mask may be undefined, or is (B, 1, 1, S).
func (l AttentionLayer) FusedCrossAttention(x, keys, values, mask unsafe.Pointer) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_fused_cross_attention(l.c(), x, keys, values, mask, &out, &message)
	return out, failure(ok, message)
}

// FusedFeedForward is norm(x + fc2(gelu(fc1(x)))) for x (..., D).
func FusedFeedForward(fc1, fc2 Linear, norm LayerNorm, x unsafe.Pointer) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_fused_feed_forward(fc1.c(), fc2.c(), norm.c(), x, &out, &message)
	return out, failure(ok, message)
}

// FusedExpandBeams returns the scores, tokens, nodes and parents of the best continuations (B, K')
// of beams with the given logits (B*K, V), nodes and scores (B, K). The tables (N, A) hold the
// children of trie nodes: their tokens, their nodes, and a bias of 0, or -inf where there is no
// child.
func FusedExpandBeams(logits, nodes, scores, childTokens, childNodes, childBias unsafe.Pointer, keep int64) (out [4]unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_fused_expand_beams(logits, nodes, scores, childTokens, childNodes, childBias, C.int64_t(keep), &out[0], &message)
	return out, failure(ok, message)
}

// FusedExpandLeaves returns the best leaves (B, K') below beams with the given nodes and scores (B, K),
// and the log-probabilities (B, K'+R) of these leaves, then of the proposals (B, R), which may be nil. The
// score of an item is the product of the query (B, D) and its row of the table (Items+1, D), plus the
// path weight times the score of its beam. childItems (N, A) are the rows below trie nodes, 0 where
// there are no more.
func FusedExpandLeaves(query, table, nodes, scores, childItems unsafe.Pointer, pathWeight float64, keep int64, proposals unsafe.Pointer) (out [2]unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_fused_expand_leaves(query, table, nodes, scores, childItems, C.double(pathWeight), C.int64_t(keep), proposals, &out[0], &message)
	return out, failure(ok, message)
}

// SIMDLogProbs returns the log-probabilities of some columns (R, A) of logits (R, V).
func SIMDLogProbs(logits, columns unsafe.Pointer) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_simd_log_probs(logits, columns, &out, &message)
	return out, failure(ok, message)
}

// SIMDTopIndices returns the indices (R, K) of the k largest numbers of each row of x (R, N),
// largest first; of equal ones the first.
func SIMDTopIndices(x unsafe.Pointer, k int64) (out unsafe.Pointer, err error) {
	var message *C.char
	ok := C.genrec_simd_top_indices(x, C.int64_t(k), &out, &message)
	return out, failure(ok, message)
}

func failure(ok C.int, message *C.char) error {
	if ok == 0 {
		return take(message)
	}
	return nil
}
