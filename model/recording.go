package model

import (
	"log/slog"
	"sync"

	"genrec/model/tensor"
)

// What a GPU is asked about a few requests takes its host longer to start than the GPU to
// do. It is recorded as a CUDA graph, which starts with one call: one for each plan, with
// the positions and what is proposed beyond rounded up, so that there are few.
const (
	mostRecorded          = 8 // requests
	recordedPositions     = 128
	mostRecordedPositions = 8 * recordedPositions
	recordedSpare         = 64
)

// recordings are of one thread at a time.
type recordings struct {
	sync.Mutex
	known map[plan]*recording // nil for what was asked once
	off   bool                // they do not work on this GPU
}

// recording is a question that can be asked again, about other requests.
type recording struct {
	g       *graph
	inputs  uploaded
	answers asked
	run     *tensor.Recording
}

// ask asks once without a recording, which prepares what libtorch keeps from one time to
// the next; then it records. The uploaded batch belongs to g.
func (r *recordings) ask(s *Searcher, g *graph, p plan, u uploaded, read func(asked)) {
	r.Lock()
	defer r.Unlock()
	known, repeated := r.known[p]
	if known == nil {
		read(s.answer(g, u, p.questions, p.spare))
		if repeated && !r.off {
			r.record(s, g, p, u)
		} else if !repeated {
			r.add(p, nil)
		}
		return
	}
	known.inputs.set(u)
	known.run.Again()
	read(known.answers)
}

func (r *recordings) add(p plan, known *recording) {
	if r.known == nil {
		r.known = make(map[plan]*recording)
	}
	r.known[p] = known
}

// record takes over the uploaded batch.
func (r *recordings) record(s *Searcher, g *graph, p plan, u uploaded) {
	made := &recording{g: newGraph(s.device), inputs: u}
	g.Give(&made.g.Scope, u.tensors()...)
	err := catch(func() {
		made.run = tensor.Record(func() { made.answers = s.answer(made.g, u, p.questions, p.spare) })
	})
	if err != nil {
		slog.Warn("recommending to few users takes longer on this GPU", "cause", err)
		made.g.Free()
		r.off = true
		return
	}
	r.add(p, made)
}

func (r *recordings) free() {
	for _, known := range r.known {
		if known != nil {
			known.run.Free()
			known.g.Free()
		}
	}
	r.known = nil
}
