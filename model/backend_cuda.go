package model

import (
	"log/slog"
	"math"
	"math/bits"

	lru "github.com/hashicorp/golang-lru/v2"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tensor"
)

// cudaBackend composes layers like the plain one, of kernels where libtorch takes several passes over
// memory, and leaves out padding.
//
// In a small model, or for few requests of a large one, the host takes longer to launch the kernels
// than the GPU to run them. Such batches are captured as CUDA graphs, which launch with one call:
// one graph for each shape of batch. Rows, positions and candidates are rounded up, so that there
// are few shapes.
type cudaBackend struct {
	plainBackend
	graphs []*graphCache // by thread
}

func newCUDABackend(threads int) *cudaBackend {
	b := &cudaBackend{plainBackend: plainBackend{operations: kernelOperations{}, packed: true}}
	if !libtorch.KernelsCompiled() {
		b.operations = libtorchOperations{}
	}
	for range threads {
		b.graphs = append(b.graphs, newGraphCache())
	}
	return b
}

func (b *cudaBackend) close() {
	for _, cache := range b.graphs {
		cache.free()
	}
}

// outputAlignment divides the number of columns for which matrix products in bfloat16 are fast.
const outputAlignment = 8

// alignOutput copies the projection with enough columns for fast matrix products in bfloat16. Weights of
// float32 may still be trained, and are not copied.
func (b *cudaBackend) alignOutput(p *pass, n *network, output linear) linear {
	missing := -int64(n.config.Vocabulary) & (outputAlignment - 1)
	if n.kind == tensor.Float32 || missing == 0 {
		return output
	}
	bias := make([]float32, missing)
	for i := range bias {
		bias[i] = float32(math.Inf(-1))
	}
	width := int64(n.config.Width)
	zeros := make([]float32, missing*width)
	return linear{
		weight: p.Cat(0, output.weight, n.floats(p, zeros, missing, width)), // (V', D)
		bias:   p.Cat(0, output.bias, n.floats(p, bias, missing)),           // (V')
	}
}

// kernelOperations are CUDA kernels, for the shapes that they support.
type kernelOperations struct{ libtorchOperations }

func (o kernelOperations) addNorm(p *pass, x, sublayer *tensor.Tensor, n layerNorm) *tensor.Tensor {
	if !libtorch.KernelAddNormFits(n.width) {
		return o.libtorchOperations.addNorm(p, x, sublayer, n)
	}
	return p.KernelAddNorm(x, sublayer, n.weight, n.bias, layerNormEpsilon)
}

func (o kernelOperations) treeAttention(p *pass, query *tensor.Tensor, cache keysValues, ancestors *tensor.Tensor, heads int64) *tensor.Tensor {
	if !libtorch.KernelTreeAttentionFits(query.Shape()[2] / heads) {
		return o.libtorchOperations.treeAttention(p, query, cache, ancestors, heads)
	}
	return p.KernelTreeAttention(query, cache.keys, cache.values, ancestors, heads)
}

func (kernelOperations) logProbs(p *pass, logits, columns *tensor.Tensor) *tensor.Tensor {
	return p.KernelLogProbs(logits, columns)
}

const (
	graphPositions  = 32 // positions are rounded up to multiples of this
	graphCandidates = 64 // so are spare candidates and proposals
	// maxGraphWork is the number of weights times positions that a GPU multiplies in about the time
	// that launching the kernels takes.
	maxGraphWork = 1 << 37
	// maxGraphs bounds the graphs of a thread, and so the memory for their results.
	maxGraphs = 48
)

// run captures and replays batches whose launches take longer than their kernels.
func (b *cudaBackend) run(s *Searcher, thread int, p *pass, requests []*rank.Request, shape batchShape) output {
	batch := batchOf(requests)
	packing := packed(batch)
	if shape.positions = roundUp(int64(len(packing.indices)), graphPositions); !launchBound(s, shape) {
		return s.uploadAndCompute(p, s.hostBatch(requests, batch, packing, shape), shape)
	}
	if rows := roundUp(shape.rows, 1); rows > shape.rows {
		batch = padRows(requests, int(rows))
		packing = packed(batch)
		shape.rows, shape.positions = rows, roundUp(int64(len(packing.indices)), graphPositions)
	}
	shape.spare, shape.proposals = roundUp(shape.spare, graphCandidates), roundUp(shape.proposals, graphCandidates)
	packing = packing.padTo(shape.positions, min(shape.positions, int64(s.network.config.MaxTokens())))
	return b.graphs[thread].run(s, p, s.hostBatch(requests, batch, packing, shape), shape)
}

// launchBound reports whether launching the kernels of a batch takes longer than running them.
func launchBound(s *Searcher, shape batchShape) bool {
	return (shape.positions+shape.rows*s.beamWidth*int64(s.trie.MaxDepth))*s.network.config.layerWeights() <= maxGraphWork
}

// roundUp rounds up to a multiple of the unit that is, in units, a power of two or halfway between two of
// them: at most a third more, beyond the unit.
func roundUp(n, unit int64) int64 {
	if n = (n + unit - 1) / unit; n == 0 {
		return 0
	}
	power := int64(1) << bits.Len64(uint64(n-1)) // >= n
	if middle := power / 4 * 3; middle >= n {
		power = middle
	}
	return power * unit
}

// padRows fills a batch up to a number of rows with the last request, which is the shortest.
func padRows(requests []*rank.Request, rows int) examples.Batch {
	all := make([]*rank.Request, rows)
	for i := range all {
		all[i] = requests[min(i, len(requests)-1)]
	}
	return batchOf(all)
}

// graphCache holds the CUDA graphs of one thread. A graph is replayed in the stream that it was captured
// in, because kernels of cuBLAS use a workspace of that stream. Only one runs at a time, so their
// intermediate results share memory.
type graphCache struct {
	graphs   *lru.Cache[batchShape, *capturedBatch] // nil: a shape that was seen once
	pool     libtorch.CUDAGraphPool
	disabled bool // capturing failed on this GPU
}

func newGraphCache() *graphCache {
	graphs, err := lru.NewWithEvict(maxGraphs, func(_ batchShape, evicted *capturedBatch) { evicted.free() })
	if err != nil {
		panic(err) // the size is positive
	}
	return &graphCache{graphs: graphs}
}

// capturedBatch is a computation that can be replayed on other batches of the same shape.
type capturedBatch struct {
	pass         *pass          // owns the tensors below
	ints, floats *tensor.Tensor // the uploaded batch
	output       output
	graph        *tensor.CUDAGraph
}

func (c *capturedBatch) free() {
	if c != nil {
		c.graph.Free()
		c.pass.Free()
	}
}

// run launches the kernels one by one when it sees a shape for the first time, which also lets libtorch
// set up what it keeps for later. The second time it captures them, and then it replays. The output is
// valid until the next run.
func (c *graphCache) run(s *Searcher, p *pass, host *hostBatch, shape batchShape) output {
	captured, seen := c.graphs.Get(shape)
	if captured != nil {
		captured.ints.SetInts(host.ints)
		if captured.floats != nil {
			captured.floats.SetFloats(host.floats)
		}
		captured.graph.Replay()
		return captured.output
	}
	ints, floats := host.upload(p)
	out := s.compute(p, s.network.onDevice(p, host, ints, floats), shape)
	if !seen {
		c.graphs.Add(shape, nil)
	} else if !c.disabled {
		c.capture(s, p, host, shape, ints, floats)
	}
	return out
}

// capture takes over the uploaded batch from the pass.
func (c *graphCache) capture(s *Searcher, p *pass, host *hostBatch, shape batchShape, ints, floats *tensor.Tensor) {
	captured := &capturedBatch{pass: s.newPass(), ints: ints, floats: floats}
	p.Give(&captured.pass.Scope, ints)
	if floats != nil {
		p.Give(&captured.pass.Scope, floats)
	}
	err := catch(func() {
		captured.graph = tensor.CaptureCUDAGraph(&c.pool, func() {
			captured.output = s.compute(captured.pass, s.network.onDevice(captured.pass, host, ints, floats), shape)
			captured.pass.Free(ints, floats, captured.output.leaves, captured.output.logProbs) // other graphs may use the memory of the rest
		})
	})
	if err != nil {
		slog.Warn("cannot capture CUDA graphs: inference on this GPU is slower", "err", err)
		captured.pass.Free()
		c.disabled = true
		return
	}
	c.graphs.Add(shape, captured)
}

func (c *graphCache) free() { c.graphs.Purge() }
