package model

import (
	"fmt"
	"math"
	"slices"

	"genrec/model/examples"
	"genrec/model/tokens"
	"genrec/model/trie"
)

// TopItems is how many recommendations a user gets (paper, section 4.1).
const TopItems = 20

// RankerConfig says how a ranker searches.
type RankerConfig struct {
	Beams int // width of the beam search, 20 in the paper
	Items int // recommendations per query
	// AllowSeen lets items of the history be recommended again.
	AllowSeen bool
	// DenseWeight takes the place of the model's (Config.DenseWeight) unless it is nil.
	DenseWeight *float64
}

// DefaultRankerConfig is the paper's search, without what the user already has.
func DefaultRankerConfig() RankerConfig { return RankerConfig{Beams: Beams, Items: TopItems} }

// Query is a user with the items to go on from, oldest first, under external ids.
type Query struct {
	User  string
	Items []string
}

// Ranked is a recommended item with the probability that the model gives to it.
type Ranked struct {
	Item        string
	Probability float64
}

// Ranker answers queries with the items of a bundle's catalog. Like the model, it
// belongs to one goroutine that is locked to its OS thread.
type Ranker struct {
	config   RankerConfig
	bundle   Bundle
	builder  *examples.Builder
	searcher *Searcher
}

// NewRanker prepares the search over the bundle's catalog.
func NewRanker(b Bundle, c RankerConfig) (*Ranker, error) {
	builder := examples.NewBuilder(examples.Config{
		Catalog: b.Catalog, Tokenizer: b.Vocabulary,
		MaxTokens: b.Model.Config.MaxTokens(), WordPositions: b.Model.Config.WordPositions,
	})
	texts := make([][]int64, b.Catalog.Items())
	for i := range texts {
		texts[i] = builder.ItemTokens(i + 1)
	}
	tree, err := trie.Build(distinct(texts))
	if err != nil {
		return nil, fmt.Errorf("build the trie of %d items: %w", len(texts), err)
	}
	searcher, err := b.Model.NewSearcher(tree, c.Beams)
	if err != nil {
		return nil, fmt.Errorf("prepare the search over %d items: %w", len(texts), err)
	}
	if c.DenseWeight != nil {
		b.Model.SetDenseWeight(*c.DenseWeight)
	}
	return &Ranker{config: c, bundle: b, builder: builder, searcher: searcher}, nil
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
	if len(queries) == 0 {
		return nil, nil
	}
	inputs := make([]examples.Input, len(queries))
	seen := make([]map[int]bool, len(queries))
	spare := 0
	for i, q := range queries {
		history := examples.History{User: r.bundle.Catalog.UserNumber(q.User), Items: r.bundle.Catalog.Numbers(q.Items)}
		inputs[i] = r.builder.Next(history)
		if !r.config.AllowSeen {
			seen[i] = set(history.Items)
			spare = max(spare, len(seen[i]))
		}
	}
	found, err := r.searcher.Fused(inputs, spare)
	if err != nil {
		return nil, fmt.Errorf("search for %d users: %w", len(queries), err)
	}
	ranked := make([][]Ranked, len(queries))
	for i, candidates := range found {
		for _, c := range candidates {
			number := c.Leaf + 1
			if seen[i][number] || len(ranked[i]) == r.config.Items {
				continue
			}
			ranked[i] = append(ranked[i], Ranked{Item: r.bundle.Catalog.Item(number), Probability: math.Exp(c.LogProb)})
		}
	}
	return ranked, nil
}

func set(numbers []int) map[int]bool {
	members := make(map[int]bool, len(numbers))
	for _, n := range numbers {
		members[n] = true
	}
	return members
}

// Close frees the search's tensors; the bundle's model stays.
func (r *Ranker) Close() error { return r.searcher.Close() }
