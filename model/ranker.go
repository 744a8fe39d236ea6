package model

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/rank"
	"genrec/model/tokens"
)

// TopItems is how many recommendations a user gets (paper, section 4.1).
const TopItems = 20

// What a Ranker is asked and answers is package rank's.
type (
	// Query is a user with the items to continue from, oldest first, under external ids.
	Query = rank.Query
	// Ranked is a recommended item with its probability.
	Ranked = rank.Ranked
	// Retrieved is what the components of a bundle found for some queries.
	Retrieved = rank.Retrieved
	// EnsembleWeights are the shares of the components in the score of an item.
	EnsembleWeights = rank.EnsembleWeights
)

// RankerConfig says how a ranker searches.
type RankerConfig struct {
	Beams int // width of the beam search, 20 in the paper
	Items int // recommendations per query
	// AllowSeen lets items of the history be recommended again.
	AllowSeen bool
	// Precision is what the network computes in; another one than float32 takes a copy
	// of the weights as they are at the start.
	Precision Precision
	// OnThreadStart runs at the start of every thread that the ranker makes, unless it is nil.
	OnThreadStart func()
	// These take the place of the model's weights unless they are nil.
	DenseWeight, SequentialWeight, AssociationWeight *float64
}

// DefaultRankerConfig is the paper's search, without what the user already has.
func DefaultRankerConfig() RankerConfig { return RankerConfig{Beams: Beams, Items: TopItems} }

// Ranker answers queries with the items of a bundle's catalog. It belongs to the goroutine that
// owns the model, since the model's weights may change between two calls; a Recommender is for
// several goroutines.
type Ranker struct {
	config   RankerConfig
	bundle   Bundle
	rounded  *Model // a copy in another precision than the bundle's, or nil
	builder  *examples.Builder
	searcher *Searcher
	ranker   *rank.Ranker
}

// NewRanker prepares the search over the bundle's catalog.
func NewRanker(b Bundle, c RankerConfig) (*Ranker, error) {
	builder := b.Builder()
	texts := make([][]int64, b.Catalog.Items())
	for i := range texts {
		texts[i] = builder.ItemTokens(i + 1)
	}
	tree, err := tokens.NewTrie(distinct(texts))
	if err != nil {
		return nil, fmt.Errorf("build the trie of %d items: %w", len(texts), err)
	}
	r := &Ranker{config: c, bundle: b, builder: builder}
	if err := r.prepare(tree); err != nil {
		return nil, fmt.Errorf("prepare the search over %d items: %w", len(texts), errors.Join(err, r.Close()))
	}
	r.ranker = rank.New(rank.Config{
		Catalog: b.Catalog, Builder: builder, Rules: b.Rules, Network: r.searcher, Items: c.Items, AllowSeen: c.AllowSeen,
	})
	return r, nil
}

func (r *Ranker) prepare(tree *tokens.Trie) (err error) {
	if err := r.checkWeights(); err != nil {
		return err
	}
	m := r.bundle.Model
	if r.config.Precision != Float32 {
		if r.rounded, err = m.WithPrecision(r.config.Precision); err != nil {
			return err
		}
		m = r.rounded
	}
	r.searcher, err = m.NewSearcher(tree, r.config.Beams, r.config.OnThreadStart)
	return err
}

func (r *Ranker) checkWeights() error {
	w := r.weights()
	if err := w.Validate(); err != nil {
		return err
	}
	for kind, weight := range w.Rules() {
		if weight > 0 && r.bundle.Rules[kind] == nil {
			return fmt.Errorf("genrec_%v_weight is %v, but the model has no %[1]v rules", itemstats.RuleKind(kind), weight)
		}
	}
	return nil
}

// weights are the model's as they are, but for those of the configuration.
func (r *Ranker) weights() EnsembleWeights {
	w := r.bundle.Model.Config.EnsembleWeights
	for _, change := range []struct{ weight, given *float64 }{
		{&w.Dense, r.config.DenseWeight}, {&w.Sequential, r.config.SequentialWeight}, {&w.Association, r.config.AssociationWeight},
	} {
		if change.given != nil {
			*change.weight = *change.given
		}
	}
	return w
}

// Beams is the width of the search: 0 where the weights leave nothing to it.
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
func (r *Ranker) Rank(ctx context.Context, queries []Query) ([][]Ranked, error) {
	if err := r.searcher.awaitWeights(); err != nil {
		return nil, err
	}
	ranked, _, err := r.ranker.Rank(ctx, queries, r.weights())
	return ranked, err
}

// Find runs those components that have a weight.
func (r *Ranker) Retrieve(ctx context.Context, queries []Query, w EnsembleWeights) (Retrieved, error) {
	if err := r.searcher.awaitWeights(); err != nil {
		return Retrieved{}, err
	}
	return r.ranker.Retrieve(ctx, queries, w)
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
