package rank

import (
	"sync"

	"genrec/model/itemstats"
)

// Fuser joins the candidates of all components, each item once. It is safe for concurrent
// use; its scratch memory is 4 bytes an item for each core.
type Fuser struct{ scratch sync.Pool }

// scratch marks items without clearing marks in between: those of an earlier epoch are none.
type scratch struct {
	marks    []uint32
	epoch    uint32
	evidence []ComponentScores
}

// NewFuser returns a Fuser for items 0..items-1.
func NewFuser(items int) *Fuser {
	return &Fuser{scratch: sync.Pool{New: func() any { return &scratch{marks: make([]uint32, items)} }}}
}

// Fuse calls use with the evidence for each candidate that is not in request.Seen. The slice is
// valid during the call only. An item that the search did not find counts like the last one that it found, which
// is at least what it is worth.
func (f *Fuser) Fuse(request *Request, found HeadScores, w EnsembleWeights, use func([]ComponentScores)) {
	s := f.scratch.Get().(*scratch)
	defer f.scratch.Put(s)
	s.collect(request, found)
	for kind, weight := range w.Rules() {
		if weight > 0 {
			s.addRules(kind, request.Next[kind].Table())
		}
	}
	use(s.evidence)
}

func (s *scratch) collect(request *Request, found HeadScores) {
	if s.epoch++; s.epoch == 0 { // the counter has wrapped
		clear(s.marks)
		s.epoch = 1
	}
	s.evidence = s.evidence[:0]
	for _, leaf := range request.Seen {
		s.marks[leaf] = s.epoch
	}
	last := 0.0
	for i, leaf := range found.BeamLeaves {
		last = float64(found.BeamLogProbs[i])
		s.add(int(leaf), last, at(found.BeamDense, i))
	}
	for i, leaf := range found.DenseLeaves {
		s.add(int(leaf), last, at(found.DenseLogProbs, i))
	}
	for i, leaf := range request.Proposals {
		s.add(int(leaf), last, at(found.ProposalDense, i))
	}
}

// at is the log-probability of a head, 0 if it did not run.
func at(logProbs []float32, i int) float64 {
	if logProbs == nil {
		return 0
	}
	return float64(logProbs[i])
}

func (s *scratch) add(leaf int, beams, dense float64) {
	if s.marks[leaf] != s.epoch {
		s.marks[leaf] = s.epoch
		s.evidence = append(s.evidence, ComponentScores{Leaf: leaf, Beams: beams, Dense: dense})
	}
}

func (s *scratch) addRules(kind int, table itemstats.LogProbTable) {
	defer table.Release()
	for i := range s.evidence {
		s.evidence[i].Rules[kind] = table.LogProb(s.evidence[i].Leaf)
	}
}
