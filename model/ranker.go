package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"genrec/model/examples"
	"genrec/model/rules"
	"genrec/model/tokens"
	"genrec/model/trie"
	"genrec/pkg/cores"
)

// TopItems is how many recommendations a user gets (paper, section 4.1).
const TopItems = 20

// RankerConfig says how a ranker searches.
type RankerConfig struct {
	Beams int // width of the beam search, 20 in the paper
	Items int // recommendations per query
	// AllowSeen lets items of the history be recommended again.
	AllowSeen bool
	// Precision is what the network computes in; another one than float32 takes a copy
	// of the weights as they are at the start.
	Precision Precision
	// Prepare runs at the start of every thread that the ranker makes, unless it is nil.
	Prepare func()
	// These take the place of the model's weights unless they are nil.
	DenseWeight, SequentialWeight, AssociationWeight *float64
}

// DefaultRankerConfig is the paper's search, without what the user already has.
func DefaultRankerConfig() RankerConfig { return RankerConfig{Beams: Beams, Items: TopItems} }

// Query is a user with the items to go on from, oldest first, under external ids.
type Query struct {
	User  string
	Items []string
}

// Ranked is a recommended item with the probability that the parts of the model give to
// it, weighted in their logarithms.
type Ranked struct {
	Item        string
	Probability float64
}

// Ranker answers queries with the items of a bundle's catalog. Like the model, it
// belongs to one goroutine that is locked to its OS thread.
type Ranker struct {
	config   RankerConfig
	bundle   Bundle
	rounded  *Model // a copy in another precision than the bundle's, or nil
	builder  *examples.Builder
	searcher *Searcher
}

// NewRanker prepares the search over the bundle's catalog.
func NewRanker(b Bundle, c RankerConfig) (*Ranker, error) {
	builder := b.Builder()
	texts := make([][]int64, b.Catalog.Items())
	for i := range texts {
		texts[i] = builder.ItemTokens(i + 1)
	}
	tree, err := trie.Build(distinct(texts))
	if err != nil {
		return nil, fmt.Errorf("build the trie of %d items: %w", len(texts), err)
	}
	r := &Ranker{config: c, bundle: b, builder: builder}
	if err := r.prepare(tree); err != nil {
		return nil, fmt.Errorf("prepare the search over %d items: %w", len(texts), errors.Join(err, r.Close()))
	}
	return r, nil
}

func (r *Ranker) prepare(tree *trie.Trie) (err error) {
	if err := r.checkWeights(); err != nil {
		return err
	}
	m := r.bundle.Model
	if r.config.Precision != Float32 {
		if r.rounded, err = m.Rounded(r.config.Precision); err != nil {
			return err
		}
		m = r.rounded
	}
	r.searcher, err = m.NewSearcher(tree, r.config.Beams, r.config.Prepare)
	return err
}

func (r *Ranker) checkWeights() error {
	w := r.weights()
	if err := w.Validate(); err != nil {
		return err
	}
	for kind, weight := range w.Rules() {
		if weight > 0 && r.bundle.Rules[kind] == nil {
			return fmt.Errorf("genrec_%v_weight is %v, but the model has no %[1]v rules", rules.Kind(kind), weight)
		}
	}
	return nil
}

// weights are the model's as they are, but for those of the configuration.
func (r *Ranker) weights() Weights {
	w := r.bundle.Model.Config.Weights
	for _, change := range []struct{ weight, given *float64 }{
		{&w.Dense, r.config.DenseWeight}, {&w.Sequential, r.config.SequentialWeight}, {&w.Association, r.config.AssociationWeight},
	} {
		if change.given != nil {
			*change.weight = *change.given
		}
	}
	return w
}

// Beams is how many search for each query: none where the weights leave nothing to them.
func (r *Ranker) Beams() int {
	if r.weights().Beams() == 0 {
		return 0
	}
	return r.config.Beams
}

// Builder writes the inputs of the bundle's catalog; it shares the items' tokens with
// the ranker.
func (r *Ranker) Builder() *examples.Builder { return r.builder }

// distinct makes texts ones that a trie can hold. Where they differ in length, one
// may be the beginning of another, and the end token tells them apart; where they
// don't, it says nothing and is left out.
func distinct(texts [][]int64) [][]int64 {
	if !slices.ContainsFunc(texts, func(text []int64) bool { return len(text) != len(texts[0]) }) {
		return texts
	}
	ended := make([][]int64, len(texts))
	for i, text := range texts {
		ended[i] = append(slices.Clip(text), tokens.End)
	}
	return ended
}

// Rank answers each query with distinct items, best first. There are fewer than
// asked for where the search finds no more that may be recommended.
func (r *Ranker) Rank(queries []Query) ([][]Ranked, error) {
	weights := r.weights()
	found, err := r.Find(queries, weights)
	if err != nil {
		return nil, err
	}
	return found.Rank(weights), nil
}

// Found is what the parts of a bundle found for some queries.
type Found struct {
	ranker   *Ranker
	evidence [][]evidence
	seen     []map[int]bool // by query: items that must not be recommended
}

// Find asks those parts that have a weight.
func (r *Ranker) Find(queries []Query, w Weights) (Found, error) {
	found := Found{ranker: r, seen: make([]map[int]bool, len(queries))}
	if len(queries) == 0 {
		return found, nil
	}
	requests := make([]request, len(queries))
	cores.Each(len(queries), func(i int) {
		q := queries[i]
		history := examples.History{User: r.bundle.Catalog.UserNumber(q.User), Items: r.bundle.Catalog.Numbers(q.Items)}
		requests[i].input = r.builder.Next(history)
		for kind, weight := range w.Rules() {
			if weight > 0 {
				requests[i].next[kind] = r.bundle.Rules[kind].Next(Leaves(history.Items))
			}
		}
		if !r.config.AllowSeen {
			found.seen[i] = set(history.Items)
			requests[i].spare = len(found.seen[i])
		}
	})
	var err error
	if found.evidence, err = r.searcher.gather(requests, w); err != nil {
		return found, fmt.Errorf("search for %d users: %w", len(queries), err)
	}
	return found, nil
}

// Leaves numbers items from 0, as the trie's leaves, the rules and the dense head's
// columns do.
func Leaves[Number int | int64](items []Number) []Number {
	leaves := make([]Number, len(items))
	for i, item := range items {
		leaves[i] = item - 1
	}
	return leaves
}

// Rank answers the queries with distinct items, best first, by weights of parts that
// were asked.
func (f Found) Rank(w Weights) [][]Ranked {
	ranked := make([][]Ranked, len(f.evidence))
	for i, items := range f.evidence {
		for _, c := range w.weighed(items) {
			number := c.Leaf + 1
			if len(ranked[i]) == f.ranker.config.Items {
				break
			}
			if !f.seen[i][number] {
				ranked[i] = append(ranked[i], Ranked{Item: f.ranker.bundle.Catalog.Item(number), Probability: math.Exp(c.LogProb)})
			}
		}
	}
	return ranked
}

// Places says where answers stand among what Rank would return, from 0; -1 for one that
// does not.
func (f Found) Places(w Weights, answers []string) []int {
	places := make([]int, len(answers))
	for i, answer := range answers {
		places[i] = f.place(w, i, f.ranker.bundle.Catalog.ItemNumber(answer)-1)
	}
	return places
}

func (f Found) place(w Weights, query, leaf int) int {
	items := f.evidence[query]
	at := slices.IndexFunc(items, func(e evidence) bool { return e.leaf == leaf })
	if at < 0 || f.seen[query][leaf+1] {
		return -1
	}
	place, score := 0, w.score(items[at])
	for _, e := range items {
		if better := cmp.Or(cmp.Compare(w.score(e), score), cmp.Compare(leaf, e.leaf)); better > 0 && !f.seen[query][e.leaf+1] {
			if place++; place == f.ranker.config.Items {
				return -1
			}
		}
	}
	return place
}

func set(numbers []int) map[int]bool {
	members := make(map[int]bool, len(numbers))
	for _, n := range numbers {
		members[n] = true
	}
	return members
}

// Close frees the search's tensors; the bundle's model stays.
func (r *Ranker) Close() error {
	if r.rounded != nil {
		r.rounded.Drop()
	}
	if r.searcher == nil {
		return nil
	}
	return r.searcher.Close()
}
