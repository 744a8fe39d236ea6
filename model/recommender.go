package model

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"

	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/rank"
	"genrec/model/tokens"
)

// TopItems is the number of recommendations for a user (paper, section 4.1).
const TopItems = 20

// Queries and results of a Ranker are those of package rank.
type (
	// Query is a user with the items to continue from, oldest first, by external ids.
	Query = rank.Query
	// Ranked is a recommended item with its probability.
	Ranked = rank.Ranked
	// Retrieved holds the candidates for some queries with the scores of all components.
	Retrieved = rank.Retrieved
	// EnsembleWeights are the weights of the components in the score of an item.
	EnsembleWeights = rank.EnsembleWeights
)

// RankerConfig configures a Ranker.
type RankerConfig struct {
	// Beams is the width of the beam search, 20 in the paper.
	Beams int
	// Items is the number of recommendations for a query.
	Items int
	// AllowSeen recommends items of the history again.
	AllowSeen bool
	// Precision is that of the network. Another one than Float32 takes a copy of the weights as they are
	// when the ranker is made.
	Precision Precision
	// OnThreadStart runs at the start of every thread of the ranker, unless it is nil.
	OnThreadStart func()
	// DenseWeight, SequentialWeight and AssociationWeight override the model's ensemble weights, unless
	// they are nil.
	DenseWeight, SequentialWeight, AssociationWeight *float64
}

// DefaultRankerConfig is the paper's search, without items that the user has seen.
func DefaultRankerConfig() RankerConfig { return RankerConfig{Beams: Beams, Items: TopItems} }

// Recommender serves a stored bundle to any number of goroutines. Calls overlap: while the network
// scores the queries of one, those of others are prepared and fused.
type Recommender struct {
	bundle  Bundle
	ranker  *Ranker
	weights EnsembleWeights

	mu     sync.RWMutex // held for reading by calls in progress
	closed bool
}

// ErrClosed is returned by a closed Recommender.
var ErrClosed = errors.New("recommender is closed")

// OpenRecommender loads a folder that Bundle.Save wrote.
func OpenRecommender(dir string, device Device, c RankerConfig) (r *Recommender, err error) {
	onOwnThread(func() { r, err = openRecommender(dir, device, c) })
	return r, err
}

func openRecommender(dir string, device Device, c RankerConfig) (*Recommender, error) {
	bundle, err := LoadBundle(dir, device)
	if err != nil {
		return nil, err
	}
	ranker, err := NewRanker(bundle, c)
	if err == nil {
		if err = ranker.searcher.awaitWeights(); err != nil {
			err = errors.Join(err, ranker.Close())
		}
	}
	if err != nil {
		bundle.Model.Drop()
		return nil, err
	}
	if c.Precision != Float32 {
		bundle.Model.Drop() // the ranker has a copy
	}
	return &Recommender{bundle: bundle, ranker: ranker, weights: ranker.weights()}, nil
}

// onOwnThread runs f on a new OS thread, since libtorch keeps state per thread.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f()
	}()
	<-done
}

// Recommend answers each query with distinct items, best first. It stops early when ctx ends, on a CPU
// after the micro-batches in progress.
func (r *Recommender) Recommend(ctx context.Context, queries []Query) ([][]Ranked, rank.Timing, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, rank.Timing{}, ErrClosed
	}
	return r.ranker.ranker.Rank(ctx, queries, r.weights)
}

// Concurrency is the number of concurrent calls of Recommend that keep the device busy: on a GPU one for
// each stream, on a CPU one for all cores, and another one that is prepared or fused meanwhile.
func (r *Recommender) Concurrency() int {
	if r.ranker.searcher.device == CPU {
		return 2
	}
	return r.ranker.searcher.threads.size() + 1
}

// Beams is the width of the beam search: 0 if its ensemble weight is 0.
func (r *Recommender) Beams() int { return r.ranker.Beams() }

// Popular lists the most frequent items of the training snapshot with their share of all interactions.
func (r *Recommender) Popular(n int) []Ranked {
	items, counts := r.bundle.Catalog.Popular(n)
	total := r.bundle.Catalog.Interactions()
	ranked := make([]Ranked, len(items))
	for i := range items {
		ranked[i] = Ranked{Item: items[i], Probability: float64(counts[i]) / float64(total)}
	}
	return ranked
}

// SimilarItems lists the most popular items, each with the others that co-occur with it most often, best
// first, and their share of the co-occurrences; without association rules, those that follow it most
// often. It may be called concurrently with Recommend, and after Close.
func (r *Recommender) SimilarItems(items, similar int) iter.Seq2[string, []Ranked] {
	return func(yield func(string, []Ranked) bool) {
		rules := r.bundle.Rules[itemstats.Association]
		if rules == nil {
			rules = r.bundle.Rules[itemstats.Sequential]
		}
		if rules == nil {
			return
		}
		popular, _ := r.bundle.Catalog.Popular(items)
		for _, item := range popular {
			prediction := rules.Predict(Leaves([]int{r.bundle.Catalog.ItemIndex(item)}))
			var ranked []Ranked
			for _, leaf := range prediction.Ranked(similar) {
				ranked = append(ranked, Ranked{Item: r.bundle.Catalog.ItemID(leaf + 1), Probability: math.Exp(prediction.LogProb(leaf))})
			}
			if len(ranked) > 0 && !yield(item, ranked) {
				return
			}
		}
	}
}

// Close waits for the calls in progress and frees the model.
func (r *Recommender) Close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	onOwnThread(func() {
		err = r.ranker.Close()
		r.bundle.Model.Drop()
	})
	return err
}

// Ranker answers queries with the items of a bundle's catalog. It belongs to the goroutine that owns the
// model, whose weights may change between two calls; several goroutines need a Recommender.
type Ranker struct {
	config   RankerConfig
	bundle   Bundle
	copied   *Model // of the bundle's model in another precision, or nil
	builder  *examples.Builder
	searcher *Searcher
	ranker   *rank.Ranker
}

// NewRanker builds the trie of the bundle's catalog and opens a Searcher over it.
func NewRanker(b Bundle, c RankerConfig) (*Ranker, error) {
	builder := b.Builder()
	texts := make([][]int64, b.Catalog.Items())
	for i := range texts {
		texts[i] = builder.ItemTokens(i + 1)
	}
	trie, err := tokens.NewTrie(terminated(texts))
	if err != nil {
		return nil, fmt.Errorf("build the trie of %d items: %w", len(texts), err)
	}
	r := &Ranker{config: c, bundle: b, builder: builder}
	if err := r.openSearcher(trie); err != nil {
		return nil, fmt.Errorf("prepare the search over %d items: %w", len(texts), errors.Join(err, r.Close()))
	}
	r.ranker = rank.New(rank.Config{
		Catalog: b.Catalog, Builder: builder, Rules: b.Rules, Network: r.searcher, Items: c.Items, AllowSeen: c.AllowSeen,
	})
	return r, nil
}

func (r *Ranker) openSearcher(trie *tokens.Trie) (err error) {
	if err := r.checkWeights(); err != nil {
		return err
	}
	m := r.bundle.Model
	if r.config.Precision != Float32 {
		if r.copied, err = m.WithPrecision(r.config.Precision); err != nil {
			return err
		}
		m = r.copied
	}
	r.searcher, err = m.NewSearcher(trie, r.config.Beams, r.config.OnThreadStart)
	return err
}

func (r *Ranker) checkWeights() error {
	w := r.weights()
	if err := r.bundle.Model.Config.validateWeights(w); err != nil {
		return err
	}
	for kind, weight := range w.Rules() {
		if weight > 0 && r.bundle.Rules[kind] == nil {
			return fmt.Errorf("genrec_%v_weight is %v, but the model has no %[1]v rules", itemstats.RuleKind(kind), weight)
		}
	}
	return nil
}

// weights are the model's current ones, with the overrides of the configuration.
func (r *Ranker) weights() EnsembleWeights {
	w := r.bundle.Model.Config.EnsembleWeights
	for _, override := range []struct{ weight, by *float64 }{
		{&w.Dense, r.config.DenseWeight}, {&w.Sequential, r.config.SequentialWeight}, {&w.Association, r.config.AssociationWeight},
	} {
		if override.by != nil {
			*override.weight = *override.by
		}
	}
	return w
}

// Beams is the width of the beam search: 0 if its ensemble weight is 0.
func (r *Ranker) Beams() int {
	if r.weights().Beams() == 0 {
		return 0
	}
	return r.config.Beams
}

// Builder makes inputs over the bundle's catalog; it shares the items' tokens with the ranker.
func (r *Ranker) Builder() *examples.Builder { return r.builder }

// terminated appends the end token to texts of different lengths, of which one may be the prefix of
// another. In texts of equal length, it would be redundant.
func terminated(texts [][]int64) [][]int64 {
	if !slices.ContainsFunc(texts, func(text []int64) bool { return len(text) != len(texts[0]) }) {
		return texts
	}
	ended := make([][]int64, len(texts))
	for i, text := range texts {
		ended[i] = append(slices.Clip(text), tokens.End)
	}
	return ended
}

// Rank answers each query with distinct items, best first. There are fewer than configured if the search
// finds no more that may be recommended.
func (r *Ranker) Rank(ctx context.Context, queries []Query) ([][]Ranked, error) {
	if err := r.searcher.awaitWeights(); err != nil {
		return nil, err
	}
	ranked, _, err := r.ranker.Rank(ctx, queries, r.weights())
	return ranked, err
}

// Retrieve runs the components that have a weight, to rank their candidates by different weights.
func (r *Ranker) Retrieve(ctx context.Context, queries []Query, w EnsembleWeights) (Retrieved, error) {
	if err := r.searcher.awaitWeights(); err != nil {
		return Retrieved{}, err
	}
	return r.ranker.Retrieve(ctx, queries, w)
}

// Close frees the search; the bundle's model stays.
func (r *Ranker) Close() error {
	if r.copied != nil {
		r.copied.Drop()
	}
	if r.searcher == nil {
		return nil
	}
	return r.searcher.Close()
}

// Leaves turns item numbers, which begin at 1, into leaves of the trie, which begin at 0, as do the
// rules' items and the dense head's columns.
func Leaves[Number int | int64](items []Number) []Number {
	leaves := make([]Number, len(items))
	for i, item := range items {
		leaves[i] = item - 1
	}
	return leaves
}
