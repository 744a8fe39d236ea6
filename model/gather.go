package model

import (
	"genrec/model/examples"
	"genrec/model/rules"
	"genrec/model/tensor"
)

// shortlist is how many items the dense head and the rules of each kind propose.
const shortlist = 100

// byKind is what the rules of each kind say comes next.
type byKind [rules.Kinds]rules.Next

// request is a question to the parts of a model.
type request struct {
	input examples.Input
	next  byKind // needed where the rules have a weight
	spare int    // how many items each part proposes beyond those that would do otherwise
}

// gather asks the parts that have a weight about each request. The items are those that
// the search found, those that the head likes best and those that the rules do. A text
// that the search has not found counts like the last one that it has, which is at least
// what it is worth.
func (s *Searcher) gather(requests []request, w Weights) (gathered [][]evidence, err error) {
	gathered = make([][]evidence, len(requests))
	err = s.inParts(requests, func(g *graph, numbers []int, part []request) {
		for i, items := range s.gatherPart(g, part, w) {
			gathered[numbers[i]] = items
		}
	})
	return gathered, err
}

func (s *Searcher) gatherPart(g *graph, requests []request, w Weights) (gathered [][]evidence) {
	q := questions{beams: w.Beams() > 0, dense: w.Dense > 0}
	if q == (questions{}) {
		return join(requests, make([]proposals, len(requests)), w)
	}
	s.ask(g, requests, q, func(a asked) {
		gathered = join(requests, s.proposals(a, requests), w)
		if q.dense {
			lookUp(g, a.logProbs, gathered)
		}
	})
	return gathered
}

// join adds what the rules propose, and what they say of all that is proposed.
func join(requests []request, found []proposals, w Weights) [][]evidence {
	gathered := make([][]evidence, len(requests))
	for i, r := range requests {
		for kind, weight := range w.Rules() {
			if weight > 0 {
				found[i].rules = append(found[i].rules, r.next[kind].Best(shortlist+r.spare)...)
			}
		}
		gathered[i] = found[i].items()
		for kind, weight := range w.Rules() {
			if weight > 0 {
				for j, item := range gathered[i] {
					gathered[i][j].rules[kind] = r.next[kind].LogProb(item.leaf)
				}
			}
		}
	}
	return gathered
}

// proposals reads what the network proposes: to each request as much as it asks for,
// whatever the others do.
func (s *Searcher) proposals(a asked, requests []request) []proposals {
	found := make([]proposals, len(requests))
	if a.best != nil {
		leaves, width := a.best.Ints(), int(a.best.Shape()[1]) // row by row
		for i, r := range requests {
			found[i].dense = leaves[i*width:][:min(shortlist+r.spare, width)]
		}
	}
	if a.ended.scores != nil {
		for i, candidates := range s.candidates(a.ended, requests) {
			found[i].beams = candidates
		}
	}
	return found
}

// lookUp adds the head's log-probabilities (B, Items) to what was gathered.
func lookUp(g *graph, logProbs *tensor.Tensor, gathered [][]evidence) {
	most := 0
	for _, row := range gathered {
		most = max(most, len(row))
	}
	columns := make([]int64, len(gathered)*most) // any in the places left over
	for i, row := range gathered {
		for j, item := range row {
			columns[i*most+j] = int64(item.leaf)
		}
	}
	at := g.Ints(columns, int64(len(gathered)), int64(most))
	values := g.Gather(logProbs, 1, at).Floats() // (B, most)
	for i, row := range gathered {
		for j := range row {
			row[j].dense = float64(values[i*most+j])
		}
	}
}

// proposals are the items that the parts want to be considered for one request.
type proposals struct {
	beams []Candidate // best first
	dense []int64
	rules []int
}

// items lists each item once, with its log-probability in the search.
func (p proposals) items() []evidence {
	listed := make(map[int]bool, len(p.beams)+len(p.dense)+len(p.rules))
	var all []evidence
	add := func(leaf int, logProb float64) {
		if !listed[leaf] {
			listed[leaf] = true
			all = append(all, evidence{leaf: leaf, beams: logProb})
		}
	}
	last := 0.0
	for _, c := range p.beams {
		add(c.Leaf, c.LogProb)
		last = c.LogProb
	}
	for _, leaf := range p.dense {
		add(int(leaf), last)
	}
	for _, leaf := range p.rules {
		add(leaf, last)
	}
	return all
}
