package model

import (
	"log/slog"
	"math/bits"

	lru "github.com/hashicorp/golang-lru/v2"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tensor"
)

// The kernels for a small model, or for few requests of a large one, take the host longer to
// launch one by one than the GPU to compute. Such batches are recorded as CUDA graphs, which
// launch with one call: one for each plan. Rows, positions and candidates are rounded up, so
// that there are few plans.
const (
	recordedPositions = 32 // unit of rounding
	recordedSpare     = 64 // unit of rounding, also of proposals
	// mostRecordedWork is how many weights times positions a GPU multiplies in about the time that
	// the launches take.
	mostRecordedWork = 1 << 37
	// mostRecordings bounds the recordings of a stream, and so the memory for their results.
	mostRecordings = 48
)

// recordings are the CUDA graphs of one thread. They are replayed in the stream that they were
// recorded in: kernels of cuBLAS in a graph use a workspace of that stream. One at a time is
// replayed, so that their intermediate results share memory.
type recordings struct {
	known *lru.Cache[plan, *recording] // nil: a plan that was met once
	pool  libtorch.GraphPool
	off   bool // they do not work on this GPU
}

func newRecordings() *recordings {
	known, err := lru.NewWithEvict(mostRecordings, func(_ plan, evicted *recording) { evicted.free() })
	if err != nil {
		panic(err) // the size is positive
	}
	return &recordings{known: known}
}

// recording is a computation that can be replayed on other feeds of the same shape.
type recording struct {
	g             *graph
	ints, numbers *tensor.Tensor // the feed, as uploaded
	output        output
	graph         *tensor.Recording
}

func (r *recording) free() {
	if r != nil {
		r.graph.Free()
		r.g.Free()
	}
}

func (s *Searcher) scoreOnGPU(own *recordings, g *graph, requests []*rank.Request, p plan) []rank.HeadScores {
	batch := batchOf(requests)
	as := packed(batch)
	if p.positions = roundUp(int64(len(as.places)), recordedPositions); !s.launchBound(p) {
		f := s.feed(requests, batch, as, p)
		ints, numbers := f.upload(g)
		return s.read(s.compute(g, s.network.views(g, f, ints, numbers), p), requests)
	}
	if rows := roundUp(p.rows, 1); rows > p.rows {
		batch = padRows(requests, int(rows))
		as = packed(batch)
		p.rows, p.positions = rows, roundUp(int64(len(as.places)), recordedPositions)
	}
	p.spare, p.proposals = roundUp(p.spare, recordedSpare), roundUp(p.proposals, recordedSpare)
	f := s.feed(requests, batch, as.upTo(p.positions, min(p.positions, int64(s.network.config.MaxTokens()))), p)
	return s.read(own.compute(s, g, f, p), requests)
}

// launchBound says whether launching the kernels one by one takes longer than they do.
func (s *Searcher) launchBound(p plan) bool {
	return (p.positions+p.rows*s.beams*int64(s.tree.MaxDepth))*s.network.config.layerWeights() <= mostRecordedWork
}

// roundUp rounds to at least the unit, and further to a power of two or the middle between two
// of them: at most a third more.
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

// padRows repeats the last request, which is the shortest.
func padRows(requests []*rank.Request, rows int) examples.Batch {
	all := make([]*rank.Request, rows)
	for i := range all {
		all[i] = requests[min(i, len(requests)-1)]
	}
	return batchOf(all)
}

// compute launches kernels one by one when it meets a plan for the first time, which also prepares
// what libtorch keeps for later; the second time it records, and from then on it replays. The
// result is valid until the next call.
func (r *recordings) compute(s *Searcher, g *graph, f *feed, p plan) output {
	known, met := r.known.Get(p)
	if known != nil {
		known.ints.SetInts(f.ints)
		if known.numbers != nil {
			known.numbers.SetFloats(f.numbers)
		}
		known.graph.Replay()
		return known.output
	}
	ints, numbers := f.upload(g)
	out := s.compute(g, s.network.views(g, f, ints, numbers), p)
	if !met {
		r.known.Add(p, nil)
	} else if !r.off {
		r.record(s, g, f, p, ints, numbers)
	}
	return out
}

// record takes over the uploaded feed.
func (r *recordings) record(s *Searcher, g *graph, f *feed, p plan, ints, numbers *tensor.Tensor) {
	made := &recording{g: newGraph(s.device), ints: ints, numbers: numbers}
	g.Give(&made.g.Scope, ints)
	if numbers != nil {
		g.Give(&made.g.Scope, numbers)
	}
	err := catch(func() {
		made.graph = tensor.Record(&r.pool, func() {
			made.output = s.compute(made.g, s.network.views(made.g, f, ints, numbers), p)
			made.g.Free(ints, numbers, made.output.leaves, made.output.numbers) // others may take the memory of the rest
		})
	})
	if err != nil {
		slog.Warn("CUDA graphs do not work on this GPU: recommending takes longer", "err", err)
		made.g.Free()
		r.off = true
		return
	}
	r.known.Add(p, made)
}

func (r *recordings) free() { r.known.Purge() }
