// Package rank turns a user's history into recommendations. Components propose candidates and score them
// by log-probabilities: the beam search of a network, its dense head if items are not leaves of the search,
// and two kinds of rules. The score of an item is the weighted sum of its components' (score fusion); the
// items with the best scores are the recommendations.
//
// A Ranker works in three steps, each on all queries of a call: it prepares them (item indices, encoder
// inputs, predictions of the rules), has the network score them, and fuses the scores. Preparing and
// fusing run on all cores. Calls may run concurrently, so that one is prepared while the network scores
// another. The network is behind an interface: the package needs no libtorch, and its tests run with
// the race detector.
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

// Shortlist is how many items the dense head and each kind of rules propose, plus Request.Spare.
const Shortlist = 100

// Query is a user with a history.
type Query struct {
	// User is an external id, which may be unknown.
	User string
	// Items are external ids, oldest first; unknown ones are skipped.
	Items []string
}

// Ranked is a recommended item.
type Ranked struct {
	// Item is an external id.
	Item string
	// Probability is exp of the item's score.
	Probability float64
	// Searched means that the beam search found the item. It may have a score from other components, too.
	Searched bool
}

// Network scores the requests by the given heads, in their order. It may be called concurrently, and
// keeps nothing of the requests.
type Network interface {
	Score(ctx context.Context, requests []*Request, heads Heads) ([]HeadScores, error)
}

// Heads selects heads of the network.
type Heads struct {
	// Beams is the beam search.
	Beams bool
	// Dense is the dense head.
	Dense bool
}

// Request is a query as the components see it. Items are leaves: their index in the catalog less 1.
type Request struct {
	// Input is what the encoder reads.
	Input examples.Input
	// Predictions are those of the rules that have a weight.
	Predictions [itemstats.RuleKinds]itemstats.Prediction
	// Proposals are candidates of the rules, possibly with duplicates.
	Proposals []int64
	// Seen are the items that must not be recommended, in ascending order.
	Seen []int64
	// Spare is the number of further candidates that each component proposes, so that enough are left
	// without Seen.
	Spare int

	leaves []int   // of the history
	top    []int32 // proposals of one kind of rules
}

// HeadScores are the network's scores for a request: log-probabilities in nats. Those of heads that did
// not run are nil.
type HeadScores struct {
	// BeamLeaves are the items that the beam search found, best first.
	BeamLeaves []int64
	// BeamLogProbs are those of the texts of BeamLeaves.
	BeamLogProbs []float32
	// DenseLeaves are the best Shortlist and Spare items of the dense head, best first.
	DenseLeaves []int64
	// DenseLogProbs are the dense head's, of DenseLeaves.
	DenseLogProbs []float32
	// BeamDense are the dense head's, of BeamLeaves.
	BeamDense []float32
	// ProposalDense are the dense head's, of Request.Proposals.
	ProposalDense []float32
	// ProposalBeams are the beam search's, of Request.Proposals: nil unless it can score items that it did
	// not find.
	ProposalBeams []float32
}

// Config configures a Ranker. All fields are required.
type Config struct {
	// Catalog maps external ids to indices.
	Catalog *catalog.Catalog
	// Builder turns histories into inputs of the encoder.
	Builder *examples.Builder
	// Rules may be nil for kinds that never have a weight.
	Rules [itemstats.RuleKinds]*itemstats.Rules
	// Network runs the beam search and the dense head.
	Network Network
	// Items is the number of recommendations for a query.
	Items int
	// AllowSeen recommends items of the history again.
	AllowSeen bool
}

// Ranker answers queries with items of a catalog. It is safe for concurrent use if its Network is.
type Ranker struct {
	Config
	fuser    *Fuser
	requests sync.Pool // of *Request, for their memory
}

// New returns a Ranker.
func New(c Config) *Ranker {
	return &Ranker{Config: c, fuser: NewFuser(c.Catalog.Items()), requests: sync.Pool{New: func() any { return new(Request) }}}
}

// Timing is the duration of the steps of a call.
type Timing struct {
	// Prepare turns queries into requests, Network scores them, Fuse combines the scores of all components.
	Prepare, Network, Fuse time.Duration
}

// Rank answers each query with distinct items, best first: with fewer than Config.Items if the components
// propose no more that may be recommended. Panics of any step reach the caller.
func (r *Ranker) Rank(ctx context.Context, queries []Query, w EnsembleWeights) (ranked [][]Ranked, t Timing, err error) {
	ranked = make([][]Ranked, len(queries))
	t, err = r.each(ctx, queries, w, func(i int, candidates []ComponentScores) { ranked[i] = r.top(candidates, w) })
	if err != nil {
		return nil, t, err
	}
	return ranked, t, nil
}

// each calls use with the candidates for each query, concurrently. They are valid during the call only.
func (r *Ranker) each(ctx context.Context, queries []Query, w EnsembleWeights, use func(i int, candidates []ComponentScores)) (t Timing, err error) {
	start := time.Now()
	requests := make([]*Request, len(queries))
	parallel.For(len(queries), func(i int) {
		requests[i] = r.requests.Get().(*Request)
		r.prepare(requests[i], queries[i], w)
	})
	prepared := time.Now()
	t.Prepare = prepared.Sub(start)

	scores := make([]HeadScores, len(queries)) // of no head
	if heads := w.Heads(); heads != (Heads{}) && len(queries) > 0 {
		if scores, err = r.Network.Score(ctx, requests, heads); err != nil {
			return t, fmt.Errorf("score %d requests: %w", len(queries), err)
		}
	}
	scored := time.Now()
	t.Network = scored.Sub(prepared)

	parallel.For(len(queries), func(i int) {
		r.fuser.Fuse(requests[i], scores[i], w, func(candidates []ComponentScores) { use(i, candidates) })
		r.requests.Put(requests[i])
	})
	t.Fuse = time.Since(scored)
	return t, nil
}

// prepare overwrites all fields of the request.
func (r *Ranker) prepare(request *Request, q Query, w EnsembleWeights) {
	history := examples.History{User: r.Catalog.UserIndex(q.User), Items: r.Catalog.ItemIndices(q.Items)}
	request.Input = r.Builder.ForInference(history)
	request.leaves = request.leaves[:0]
	for _, index := range history.Items {
		request.leaves = append(request.leaves, index-1)
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
			request.predict(itemstats.RuleKind(kind), r.Rules[kind])
		}
	}
}

// predict runs the rules of a kind and adds their proposals.
func (q *Request) predict(kind itemstats.RuleKind, r *itemstats.Rules) {
	r.PredictInto(&q.Predictions[kind], q.leaves)
	q.top = q.Predictions[kind].Top(q.top[:0], Shortlist+q.Spare)
	for _, leaf := range q.top {
		q.Proposals = append(q.Proposals, int64(leaf))
	}
}

// top returns the recommendations among the candidates.
func (r *Ranker) top(candidates []ComponentScores, w EnsembleWeights) []Ranked {
	top := w.Top(make([]Candidate, 0, r.Items), candidates, r.Items)
	ranked := make([]Ranked, len(top))
	for i, c := range top {
		ranked[i] = Ranked{Item: r.Catalog.ItemID(c.Leaf + 1), Probability: math.Exp(c.LogProb), Searched: c.Searched}
	}
	return ranked
}

// EnsembleWeights are the weights of the components in the score of an item, which is the weighted sum of
// their log-probabilities. The beam search has the rest to 1.
type EnsembleWeights struct {
	// Dense is the weight of the dense head.
	Dense float64 `json:"genrec_dense_weight"`
	// Sequential is the weight of the sequential rules.
	Sequential float64 `json:"genrec_sequential_weight"`
	// Association is the weight of the association rules.
	Association float64 `json:"genrec_association_weight"`
}

// Rules returns the weights of the rules by kind.
func (w EnsembleWeights) Rules() [itemstats.RuleKinds]float64 {
	return [itemstats.RuleKinds]float64{itemstats.Sequential: w.Sequential, itemstats.Association: w.Association}
}

const rounding = 1e-9

// Beams is the weight of the beam search.
func (w EnsembleWeights) Beams() float64 {
	if rest := 1 - w.Dense - w.Sequential - w.Association; rest > rounding {
		return rest
	}
	return 0
}

// Heads returns the heads of the network that have a weight.
func (w EnsembleWeights) Heads() Heads { return Heads{Beams: w.Beams() > 0, Dense: w.Dense > 0} }

// Validate reports negative weights, and a sum of more than 1.
func (w EnsembleWeights) Validate() error {
	if !(min(w.Dense, w.Sequential, w.Association) >= 0 && w.Dense+w.Sequential+w.Association <= 1+rounding) {
		return fmt.Errorf("genrec_dense_weight is %v, genrec_sequential_weight %v and genrec_association_weight %v: they must not be negative, and their sum at most 1",
			w.Dense, w.Sequential, w.Association)
	}
	return nil
}

// ComponentScores are the scores of a candidate: log-probabilities in nats, 0 from components that did not
// run.
type ComponentScores struct {
	// Leaf is the item's index in the catalog less 1.
	Leaf int
	// Beams is the beam search's.
	Beams float64
	// Dense is the dense head's.
	Dense float64
	// Rules are those of the rules, by kind.
	Rules [itemstats.RuleKinds]float64
	// Searched means that the beam search found the item.
	Searched bool
}

// Score is the weighted sum of the scores of a candidate.
func (w EnsembleWeights) Score(c *ComponentScores) float64 {
	return w.Beams()*c.Beams + w.Dense*c.Dense + w.Sequential*c.Rules[itemstats.Sequential] + w.Association*c.Rules[itemstats.Association]
}

// Candidate is an item with one score.
type Candidate struct {
	// Leaf is the item's index in the catalog less 1.
	Leaf int
	// LogProb is in nats.
	LogProb float64
	// Searched means that the beam search found the item.
	Searched bool
}

// before orders candidates best first, ties by the lower leaf.
func (c Candidate) before(other Candidate) bool {
	return c.LogProb > other.LogProb || c.LogProb == other.LogProb && c.Leaf < other.Leaf
}

// Top appends the best candidates to top, at most count, best first. It keeps only those sorted, which is
// faster than sorting all for a short list.
func (w EnsembleWeights) Top(top []Candidate, candidates []ComponentScores, count int) []Candidate {
	first := len(top)
	for i := range candidates {
		c := Candidate{Leaf: candidates[i].Leaf, LogProb: w.Score(&candidates[i]), Searched: candidates[i].Searched}
		if len(top)-first == count {
			if count == 0 || !c.before(top[len(top)-1]) {
				continue
			}
			top = top[:len(top)-1]
		}
		at := len(top)
		for at > first && c.before(top[at-1]) {
			at--
		}
		top = slices.Insert(top, at, c)
	}
	return top
}

// Fuser joins the candidates of all components. It is safe for concurrent use; its scratch memory is 4
// bytes per item for each core.
type Fuser struct{ scratch sync.Pool }

// scratch marks items by an epoch, so that marks of earlier epochs need not be cleared.
type scratch struct {
	marks      []uint32
	epoch      uint32
	candidates []ComponentScores
}

// NewFuser returns a Fuser for items 0..items-1.
func NewFuser(items int) *Fuser {
	return &Fuser{scratch: sync.Pool{New: func() any { return &scratch{marks: make([]uint32, items)} }}}
}

// Fuse calls use with the candidates that are not in request.Seen, each item once. They are valid during
// the call only. An item that the beam search missed and cannot score gets the score of the last one that
// it found, an upper bound.
func (f *Fuser) Fuse(request *Request, scores HeadScores, w EnsembleWeights, use func([]ComponentScores)) {
	s := f.scratch.Get().(*scratch)
	defer f.scratch.Put(s)
	s.collect(request, scores)
	for kind, weight := range w.Rules() {
		if weight > 0 {
			s.addRules(kind, request.Predictions[kind].Table())
		}
	}
	use(s.candidates)
}

func (s *scratch) collect(request *Request, scores HeadScores) {
	if s.epoch++; s.epoch == 0 { // the counter has wrapped around
		clear(s.marks)
		s.epoch = 1
	}
	s.candidates = s.candidates[:0]
	for _, leaf := range request.Seen {
		s.marks[leaf] = s.epoch
	}
	last := 0.0
	for i, leaf := range scores.BeamLeaves {
		last = float64(scores.BeamLogProbs[i])
		s.add(ComponentScores{Leaf: int(leaf), Beams: last, Dense: at(scores.BeamDense, i), Searched: true})
	}
	for i, leaf := range scores.DenseLeaves {
		s.add(ComponentScores{Leaf: int(leaf), Beams: last, Dense: at(scores.DenseLogProbs, i)})
	}
	for i, leaf := range request.Proposals {
		beams := last
		if scores.ProposalBeams != nil {
			beams = float64(scores.ProposalBeams[i])
		}
		s.add(ComponentScores{Leaf: int(leaf), Beams: beams, Dense: at(scores.ProposalDense, i)})
	}
}

// at is 0 for a head that did not run.
func at(logProbs []float32, i int) float64 {
	if logProbs == nil {
		return 0
	}
	return float64(logProbs[i])
}

// add adds a candidate unless it is seen or has been added.
func (s *scratch) add(c ComponentScores) {
	if s.marks[c.Leaf] != s.epoch {
		s.marks[c.Leaf] = s.epoch
		s.candidates = append(s.candidates, c)
	}
}

func (s *scratch) addRules(kind int, table itemstats.LogProbTable) {
	defer table.Release()
	for i := range s.candidates {
		s.candidates[i].Rules[kind] = table.LogProb(s.candidates[i].Leaf)
	}
}

// Retrieved holds the candidates for some queries with the scores of all components, to be ranked by
// different weights.
type Retrieved struct {
	ranker     *Ranker
	candidates [][]ComponentScores // by query
}

// Retrieve runs the components that have a weight.
func (r *Ranker) Retrieve(ctx context.Context, queries []Query, w EnsembleWeights) (Retrieved, error) {
	retrieved := Retrieved{ranker: r, candidates: make([][]ComponentScores, len(queries))}
	_, err := r.each(ctx, queries, w, func(i int, candidates []ComponentScores) { retrieved.candidates[i] = slices.Clone(candidates) })
	return retrieved, err
}

// Rank is Ranker.Rank by weights of components that were run.
func (r Retrieved) Rank(w EnsembleWeights) [][]Ranked {
	ranked := make([][]Ranked, len(r.candidates))
	for i, candidates := range r.candidates {
		ranked[i] = r.ranker.top(candidates, w)
	}
	return ranked
}

// Positions are those of target items, one for each query, in the results of Rank: from 0, or -1 for an
// item that is not among them.
func (r Retrieved) Positions(w EnsembleWeights, targets []string) []int {
	positions := make([]int, len(targets))
	for i, target := range targets {
		positions[i] = r.position(w, r.candidates[i], r.ranker.Catalog.ItemIndex(target)-1)
	}
	return positions
}

func (r Retrieved) position(w EnsembleWeights, candidates []ComponentScores, leaf int) int {
	at := slices.IndexFunc(candidates, func(c ComponentScores) bool { return c.Leaf == leaf })
	if at < 0 {
		return -1
	}
	position, score := 0, w.Score(&candidates[at])
	for i := range candidates {
		if better := cmp.Or(cmp.Compare(w.Score(&candidates[i]), score), cmp.Compare(leaf, candidates[i].Leaf)); better > 0 {
			if position++; position == r.ranker.Items {
				return -1
			}
		}
	}
	return position
}
