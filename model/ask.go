package model

import "genrec/model/tensor"

// questions say which parts of the network are asked.
type questions struct {
	beams bool // the beam search
	dense bool // the head
}

// plan is what the operations of asking depend on, beside the contents of tensors.
type plan struct {
	questions
	rows, positions int64
	spare           int64 // how many more each part proposes than without
}

// asked is what the network answers with, on the device.
type asked struct {
	ended    finished       // by the search
	logProbs *tensor.Tensor // (B, Items), by the head
	best     *tensor.Tensor // (B, K'): leaves that the head likes best
}

// ask runs the parts of the network and lets read look at what they answer with.
func (s *Searcher) ask(g *graph, requests []request, q questions, read func(asked)) {
	batch, spare := batchOf(requests), int64(mostSpare(requests))
	if !s.packed {
		read(s.answer(g, s.upload(g, requests, batch, padded(batch), spare), q, spare))
		return
	}
	as := packed(g, batch)
	p := plan{questions: q, rows: as.rows, positions: roundUp(len(as.places), recordedPositions), spare: roundUp(int(spare), recordedSpare)}
	if s.device == CPU || p.rows > mostRecorded || p.positions > mostRecordedPositions {
		read(s.answer(g, s.upload(g, requests, batch, as, spare), q, spare))
		return
	}
	s.recordings.ask(s, g, p, s.upload(g, requests, batch, as.upTo(int(p.positions)), p.spare), read)
}

func roundUp(n, multiple int) int64 { return int64((n + multiple - 1) / multiple * multiple) }

// answer asks without a recording. What it returns belongs to g.
func (s *Searcher) answer(g *graph, u uploaded, q questions, spare int64) (a asked) {
	searching := s.newGraph() // its steps free what they leave behind
	defer searching.Free()
	b, states := s.start(searching, u)
	if q.dense {
		a.logProbs = g.LogSoftmax(s.network.itemScores(g, states)) // (B, Items)
		_, a.best = g.TopK(a.logProbs, min(shortlist+spare, int64(s.tree.Leaves)))
	}
	if q.beams {
		a.ended = s.search(searching, b, s.beams+spare, u.within)
		searching.Give(&g.Scope, a.ended.tensors()...)
	}
	return a
}
