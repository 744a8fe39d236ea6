// Package rank turns histories of items into ranked lists. Four components propose candidates
// and give them log-probabilities: the beam search and the dense head of a network, and two
// kinds of rules. A list holds the candidates with the best weighted sums.
//
// A Ranker works in three steps, each on all queries of a call: it prepares them (item
// numbers, encoder inputs, votes of the rules), lets the network score them, and fuses what the
// components say. Preparing and fusing run on all cores. Calls may run concurrently, so that
// one is prepared while the network scores another. The network is behind an interface: the
// package needs no libtorch, and its tests run with the race detector.
package rank

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/pkg/parallel"
)

// Shortlist is how many items the dense head and the rules of each kind propose, beside
// Request.Spare.
const Shortlist = 100

// Query is a user with the items to continue from, oldest first, under external ids.
type Query struct {
	User  string
	Items []string
}

// Ranked is a recommended item with the probability that the components give it, weighted in
// their logarithms.
type Ranked struct {
	Item        string
	Probability float64
}

// Request is a query as the components see it.
type Request struct {
	Input     examples.Input
	Next      [itemstats.RuleKinds]itemstats.Prediction // of the kinds that have a weight
	Proposals []int64                                   // leaves that the rules propose; one can be there twice
	Seen      []int64                                   // leaves that must not be recommended
	// Spare is how many more candidates than otherwise each component has to propose so that
	// enough are left without Seen.
	Spare int

	leaves []int   // of the history
	top    []int32 // proposals of one kind of rules
}

// Heads are parts of the network.
type Heads struct {
	Beams bool // the beam search
	Dense bool // the dense head
}

// HeadScores are what the network says to a request, with log-probabilities in nats.
type HeadScores struct {
	BeamLeaves    []int64   // that the search found, best first
	BeamLogProbs  []float32 // of their texts
	DenseLeaves   []int64   // Shortlist and Spare, that the dense head likes best, best first
	DenseLogProbs []float32 // of DenseLeaves, by the dense head, like the next two
	BeamDense     []float32 // of BeamLeaves
	ProposalDense []float32 // of Request.Proposals
}

// Network scores the requests by the given heads, in their order. Fields of heads that do not
// run stay nil. It may be called concurrently, and keeps nothing of the requests.
type Network interface {
	Score(ctx context.Context, requests []*Request, heads Heads) ([]HeadScores, error)
}

// Config of a Ranker. All fields are required.
type Config struct {
	Catalog *catalog.Catalog
	Builder *examples.Builder
	Rules   [itemstats.RuleKinds]*itemstats.Rules // nil for kinds that never have a weight
	Network Network
	Items   int // of a list
	// AllowSeen lets items of the history be recommended again.
	AllowSeen bool
}

// Ranker answers queries with the items of a catalog. It is safe for concurrent use if its
// Network is.
type Ranker struct {
	Config
	fuser    *Fuser
	requests sync.Pool // of *Request, for their memory
}

// New returns a Ranker.
func New(c Config) *Ranker {
	return &Ranker{Config: c, fuser: NewFuser(c.Catalog.Items()), requests: sync.Pool{New: func() any { return new(Request) }}}
}

// Timing is how long the steps of a call took.
type Timing struct{ Prepare, Network, Fuse time.Duration }

// Rank answers each query with distinct items, best first; with fewer than Config.Items where
// the components propose no more that may be recommended. A panic of any step reaches the
// caller.
func (r *Ranker) Rank(ctx context.Context, queries []Query, w EnsembleWeights) (ranked [][]Ranked, t Timing, err error) {
	ranked = make([][]Ranked, len(queries))
	t, err = r.each(ctx, queries, w, func(i int, items []ComponentScores) { ranked[i] = r.list(items, w) })
	if err != nil {
		return nil, t, err
	}
	return ranked, t, nil
}

func (r *Ranker) list(items []ComponentScores, w EnsembleWeights) []Ranked {
	top := w.Top(make([]Candidate, 0, r.Items), items, r.Items)
	list := make([]Ranked, len(top))
	for i, c := range top {
		list[i] = Ranked{Item: r.Catalog.ItemID(c.Leaf + 1), Probability: math.Exp(c.LogProb)}
	}
	return list
}

// each calls use with the evidence for each query, concurrently. The evidence is valid during
// the call only.
func (r *Ranker) each(ctx context.Context, queries []Query, w EnsembleWeights, use func(i int, items []ComponentScores)) (t Timing, err error) {
	began := time.Now()
	requests := make([]*Request, len(queries))
	parallel.For(len(queries), func(i int) {
		requests[i] = r.requests.Get().(*Request)
		r.prepare(requests[i], queries[i], w)
	})
	prepared := time.Now()
	t.Prepare = prepared.Sub(began)

	scores := make([]HeadScores, len(queries)) // those of no head
	if heads := w.Heads(); heads != (Heads{}) && len(queries) > 0 {
		if scores, err = r.Network.Score(ctx, requests, heads); err != nil {
			return t, fmt.Errorf("score %d requests: %w", len(queries), err)
		}
	}
	scored := time.Now()
	t.Network = scored.Sub(prepared)

	parallel.For(len(queries), func(i int) {
		r.fuser.Fuse(requests[i], scores[i], w, func(items []ComponentScores) { use(i, items) })
		r.requests.Put(requests[i])
	})
	t.Fuse = time.Since(scored)
	return t, nil
}

// prepare overwrites all of the request.
func (r *Ranker) prepare(request *Request, q Query, w EnsembleWeights) {
	history := examples.History{User: r.Catalog.UserIndex(q.User), Items: r.Catalog.ItemIndices(q.Items)}
	request.Input = r.Builder.ForInference(history)
	request.leaves = request.leaves[:0]
	for _, number := range history.Items {
		request.leaves = append(request.leaves, number-1)
	}
	request.Seen, request.Spare = request.Seen[:0], 0
	if !r.AllowSeen {
		for _, leaf := range request.leaves {
			request.Seen = append(request.Seen, int64(leaf))
		}
		slices.Sort(request.Seen)
		request.Seen = slices.Compact(request.Seen)
		request.Spare = len(request.Seen)
	}
	request.Proposals = request.Proposals[:0]
	for kind, weight := range w.Rules() {
		if weight > 0 {
			request.propose(itemstats.RuleKind(kind), r.Rules[kind])
		}
	}
}

func (q *Request) propose(kind itemstats.RuleKind, r *itemstats.Rules) {
	r.PredictInto(&q.Next[kind], q.leaves)
	q.top = q.Next[kind].Top(q.top[:0], Shortlist+q.Spare)
	for _, leaf := range q.top {
		q.Proposals = append(q.Proposals, int64(leaf))
	}
}

// Retrieved is the evidence for some queries, to be ranked by other weights than those that it
// was found by.
type Retrieved struct {
	ranker   *Ranker
	evidence [][]ComponentScores
}

// Find runs the components that have a weight.
func (r *Ranker) Retrieve(ctx context.Context, queries []Query, w EnsembleWeights) (Retrieved, error) {
	found := Retrieved{ranker: r, evidence: make([][]ComponentScores, len(queries))}
	_, err := r.each(ctx, queries, w, func(i int, items []ComponentScores) { found.evidence[i] = slices.Clone(items) })
	return found, err
}

// Rank is Ranker.Rank by weights of components that were run.
func (f Retrieved) Rank(w EnsembleWeights) [][]Ranked {
	ranked := make([][]Ranked, len(f.evidence))
	for i, items := range f.evidence {
		ranked[i] = f.ranker.list(items, w)
	}
	return ranked
}

// Places are the positions of the answers, one to each query, in what Rank returns, from 0; -1
// for one that is not there.
func (f Retrieved) Positions(w EnsembleWeights, answers []string) []int {
	places := make([]int, len(answers))
	for i, answer := range answers {
		places[i] = f.place(w, f.evidence[i], f.ranker.Catalog.ItemIndex(answer)-1)
	}
	return places
}

func (f Retrieved) place(w EnsembleWeights, items []ComponentScores, leaf int) int {
	at := slices.IndexFunc(items, func(e ComponentScores) bool { return e.Leaf == leaf })
	if at < 0 {
		return -1
	}
	place, score := 0, w.Score(&items[at])
	for i := range items {
		if better := cmp.Or(cmp.Compare(w.Score(&items[i]), score), cmp.Compare(leaf, items[i].Leaf)); better > 0 {
			if place++; place == f.ranker.Items {
				return -1
			}
		}
	}
	return place
}
