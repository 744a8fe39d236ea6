package tensor

import (
	"unsafe"

	"genrec/model/libtorch"
)

// Layers that are one call on a CPU, in float32 and for inference.

// FusedSelfAttention applies a layer to x (B, T, D) and returns the result (B, T, D) with all keys
// and values (B, P+T, D), of which the cached ones (B, P, D) may be nil. The mask is None, or
// broadcasts to (B, 1, T, P+T); causal hides later positions of x.
func (s *Scope) FusedSelfAttention(l libtorch.AttentionLayer, x, cachedKeys, cachedValues, mask *Tensor, causal bool) (result, keys, values *Tensor) {
	var cached [2]unsafe.Pointer
	if cachedKeys != nil {
		cached = [2]unsafe.Pointer{pointer(cachedKeys), pointer(cachedValues)}
	}
	out, err := l.FusedSelfAttention(pointer(x), cached[0], cached[1], pointer(mask), causal)
	return s.made(out[0], err), s.made(out[1], err), s.made(out[2], err)
}

// FusedCrossAttention applies a layer to x (B, T, D) with keys and values (B, S, D) of another
// sequence; the mask is None, or (B, 1, 1, S).
func (s *Scope) FusedCrossAttention(l libtorch.AttentionLayer, x, keys, values, mask *Tensor) *Tensor {
	return s.made(l.FusedCrossAttention(pointer(x), pointer(keys), pointer(values), pointer(mask)))
}

// FusedFeedForward is norm(x + fc2(gelu(fc1(x)))) for x (..., D).
func (s *Scope) FusedFeedForward(fc1, fc2 libtorch.Linear, norm libtorch.LayerNorm, x *Tensor) *Tensor {
	return s.made(libtorch.FusedFeedForward(fc1, fc2, norm, pointer(x)))
}

// FusedExpandBeams returns the scores, tokens, nodes and parents of the best continuations (B, K') of
// beams with the given logits (B*K, V), nodes and scores (B, K). The tables (N, A) hold the children
// of trie nodes: their tokens, their nodes, and a bias of 0, or -inf where there is no child.
func (s *Scope) FusedExpandBeams(logits, nodes, scores, childTokens, childNodes, childBias *Tensor, keep int64) (best, tokens, next, parents *Tensor) {
	out, err := libtorch.FusedExpandBeams(pointer(logits), pointer(nodes), pointer(scores), pointer(childTokens), pointer(childNodes), pointer(childBias), keep)
	return s.made(out[0], err), s.made(out[1], err), s.made(out[2], err), s.made(out[3], err)
}

// FusedExpandLeaves returns the best leaves (B, K') below beams with the given nodes and scores (B, K),
// and the log-probabilities (B, K'+R) of these leaves, then of the proposals (B, R), which may be nil. The
// score of an item is the product of the query (B, D) and its row of the table (Items+1, D), plus the path
// weight times the score of its beam. childItems (N, A) are the rows below trie nodes, 0 where there are
// no more.
func (s *Scope) FusedExpandLeaves(query, table, nodes, scores, childItems *Tensor, pathWeight float64, keep int64, proposals *Tensor) (leaves, logProbs *Tensor) {
	var further unsafe.Pointer
	if proposals != nil {
		further = pointer(proposals)
	}
	out, err := libtorch.FusedExpandLeaves(pointer(query), pointer(table), pointer(nodes), pointer(scores), pointer(childItems), pathWeight, keep, further)
	return s.made(out[0], err), s.made(out[1], err)
}

// SIMDLogProbs is LogProbs by vectorized loops on a CPU, for logits of float32.
func (s *Scope) SIMDLogProbs(logits, columns *Tensor) *Tensor {
	return s.made(libtorch.SIMDLogProbs(pointer(logits), pointer(columns)))
}

// SIMDTopIndices is TopIndices by vectorized loops on a CPU, for x (R, N) of float32; of equal elements
// it takes the first.
func (s *Scope) SIMDTopIndices(x *Tensor, k int64) *Tensor {
	return s.made(libtorch.SIMDTopIndices(pointer(x), k))
}

// Kernels for a GPU, in float32 or bfloat16 and for inference.

// KernelAddNorm is AddNorm by one kernel, where libtorch.KernelAddNormFits.
func (s *Scope) KernelAddNorm(x, sublayer, weight, bias *Tensor, epsilon float64) *Tensor {
	return s.made(libtorch.KernelAddNorm(pointer(x), pointer(sublayer), pointer(weight), pointer(bias), epsilon))
}

// KernelTreeAttention is Attention from query (B, K, D) to the few of the keys and values (B, T, D)
// for which the mask (B, 1, K, T) is 0, where libtorch.KernelTreeAttentionFits.
func (s *Scope) KernelTreeAttention(query, keys, values, mask *Tensor, heads int64) *Tensor {
	return s.made(libtorch.KernelTreeAttention(pointer(query), pointer(keys), pointer(values), pointer(mask), heads))
}

// KernelLogProbs is LogProbs without a pass over all probabilities.
func (s *Scope) KernelLogProbs(logits, columns *Tensor) *Tensor {
	return s.made(libtorch.KernelLogProbs(pointer(logits), pointer(columns)))
}

// CUDAGraph is what operations launched on a GPU, to be launched again on the same memory.
type CUDAGraph struct{ graph libtorch.CUDAGraph }

// CaptureCUDAGraph captures the operations of f without running them; they must not read anything from
// the GPU. Tensors that f uses and results that are read later must outlive the graph; the memory of
// other results is the pool's.
func CaptureCUDAGraph(pool *libtorch.CUDAGraphPool, f func()) *CUDAGraph {
	graph, err := libtorch.CaptureCUDAGraph(pool, f)
	raise(err)
	return &CUDAGraph{graph}
}

// Replay launches the graph in the calling thread's stream.
func (g *CUDAGraph) Replay() { raise(g.graph.Replay()) }

// Free frees the graph.
func (g *CUDAGraph) Free() { g.graph.Free() }
