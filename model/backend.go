package model

import (
	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tensor"
)

// backend executes the layers of a network and a step of its beam search. The network says which
// layers there are and in which order; a backend, how each of them is computed:
//
//   - plainBackend composes them of libtorch's operations. It is the only one that records gradients
//     and drops out, and the reference that the others are tested against.
//   - fusedCPUBackend makes each layer one call, in float32.
//   - cudaBackend has kernels for some operations, leaves out padding, and captures batches as CUDA
//     graphs.
//
// A Searcher chooses its backend when it is opened; training takes the plain one. Methods compute in
// the given pass, which owns their results. Shapes are as in network.
type backend interface {
	// selfAttention is norm(x + attention(x, x)) for x (B, T, D), or packed (N, D). It also returns
	// the keys and values of x. causal hides later positions; packed rows are never causal.
	selfAttention(p *pass, l attentionLayer, x *tensor.Tensor, rows rowLayout, causal bool) (*tensor.Tensor, keysValues)
	// decodeStep is self-attention of the newest tokens of beams, x (B, K, D), over a KV cache that all
	// beams of a row share (tree attention): a beam attends to its ancestors and itself, for which
	// ancestors (B, 1, K, T+K) is 0, and not to the rest, for which it is -inf. It also returns the cache
	// with the keys and values of x, (B, T+K, D).
	decodeStep(p *pass, l attentionLayer, x *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor) (*tensor.Tensor, keysValues)
	// crossAttention is norm(x + attention(x, kv)) for x (B, T, D) and the encoder's keys and values.
	crossAttention(p *pass, l attentionLayer, x *tensor.Tensor, kv keysValues) *tensor.Tensor
	// feedForward is norm(x + fc2(gelu(fc1(x)))) for x (..., D).
	feedForward(p *pass, f feedForward, x *tensor.Tensor) *tensor.Tensor

	// expandBeams returns the best continuations of the beams by their logits (B*K, V), at most keep.
	expandBeams(p *pass, b *beams, logits *tensor.Tensor, children childTables, keep int64) expansion
	// expandLeaves scores the items below the beams by their embeddings, and returns the best of them.
	expandLeaves(p *pass, n *network, b itemBeams, childItems *tensor.Tensor) foundItems
	// logProbs returns the log-probabilities of some columns (R, A) of logits (R, V), as float32.
	logProbs(p *pass, logits, columns *tensor.Tensor) *tensor.Tensor
	// topIndices returns the indices of the k largest elements of each row of x (R, N), largest first.
	topIndices(p *pass, x *tensor.Tensor, k int64) *tensor.Tensor
	// alignOutput returns the projection to logits, possibly with further columns whose bias is -inf.
	alignOutput(p *pass, n *network, output linear) linear

	// run uploads a micro-batch and computes it on a thread of the searcher. The output is valid until
	// the thread's next run.
	run(s *Searcher, thread int, p *pass, requests []*rank.Request, shape batchShape) output
	// close frees what the backend keeps between runs.
	close()
}

// newBackend chooses the backend for inference on a device, by a number of threads, with weights of a
// kind.
func newBackend(device Device, kind tensor.Kind, threads int) backend {
	switch {
	case device != CPU:
		return newCUDABackend(threads)
	case kind == tensor.Float32:
		return fusedCPUBackend{plainBackend{operations: simdOperations{}}}
	default: // libtorch's products use the CPU's instructions for bfloat16
		return plainBackend{operations: simdOperations{}}
	}
}

// plainBackend composes layers of operations: see network.go and, for expandBeams, search.go.
type plainBackend struct {
	operations
	packed bool // leaves out the padding of the encoder's input
}

// newPlainBackend is for training, and the reference in tests.
func newPlainBackend() plainBackend { return plainBackend{operations: libtorchOperations{}} }

func (plainBackend) alignOutput(_ *pass, _ *network, output linear) linear { return output }

func (b plainBackend) run(s *Searcher, _ int, p *pass, requests []*rank.Request, shape batchShape) output {
	batch := batchOf(requests)
	packing := padded(batch)
	if b.packed {
		packing = packed(batch)
	}
	return s.uploadAndCompute(p, s.hostBatch(requests, batch, packing, shape), shape)
}

func (plainBackend) close() {}

// operations are those that layers are composed of and that some devices have faster forms of than
// libtorch.
type operations interface {
	// addNorm is the layer norm of x + sublayer, with dropout of the sublayer in training.
	addNorm(p *pass, x, sublayer *tensor.Tensor, n layerNorm) *tensor.Tensor
	// treeAttention is attention of query (B, K, D) to the ancestors in the cache: see
	// backend.decodeStep.
	treeAttention(p *pass, query *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor, heads int64) *tensor.Tensor
	logProbs(p *pass, logits, columns *tensor.Tensor) *tensor.Tensor
	topIndices(p *pass, x *tensor.Tensor, k int64) *tensor.Tensor
}

type libtorchOperations struct{}

func (libtorchOperations) addNorm(p *pass, x, sublayer *tensor.Tensor, n layerNorm) *tensor.Tensor {
	return p.AddNorm(x, p.drop(sublayer, p.dropout.residual), n.weight, n.bias, n.width, layerNormEpsilon)
}

func (libtorchOperations) treeAttention(p *pass, query *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor, heads int64) *tensor.Tensor {
	return p.Attention(query, cache.keys, cache.values, ancestors, heads, 0, false)
}

func (libtorchOperations) logProbs(p *pass, logits, columns *tensor.Tensor) *tensor.Tensor {
	return p.LogProbs(logits, columns)
}

func (libtorchOperations) topIndices(p *pass, x *tensor.Tensor, k int64) *tensor.Tensor {
	return p.TopIndices(x, k)
}

// pass is one forward pass: the scope of its tensors, the backend of its layers, and its dropout.
type pass struct {
	tensor.Scope
	backend backend
	dropout dropout
}

// dropout holds probabilities, which are 0 outside of training.
type dropout struct {
	residual, attention, activation float64
	random                          uint64 // state of the random stream of the masks
}

func newPass(device Device, b backend) *pass {
	return &pass{Scope: tensor.Scope{Device: device.libtorch}, backend: b}
}

// newTrainingPass drops out as the configuration says.
func newTrainingPass(device Device, c Config, random uint64) *pass {
	p := newPass(device, newPlainBackend())
	p.dropout = dropout{residual: c.Dropout, attention: c.AttentionDropout, activation: c.ActivationDropout, random: random}
	return p
}

// drop zeroes elements with a probability.
func (p *pass) drop(x *tensor.Tensor, probability float64) *tensor.Tensor {
	if probability == 0 {
		return x
	}
	return p.Dropout(x, probability, &p.dropout.random)
}

// newScope is for tensors outside of a forward pass.
func newScope(device Device) *tensor.Scope { return &tensor.Scope{Device: device.libtorch} }

// withoutGradients turns gradient recording off until restore is called.
func withoutGradients() (restore func()) {
	before := libtorch.SetGradients(false)
	return func() { libtorch.SetGradients(before) }
}
