package retrain

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/retrain/gate"
)

// minEvaluationItems is the minimum length of a history whose last item is held out.
const minEvaluationItems = 3

// leaveOneOutCases holds out the last item of each user with enough items.
func leaveOneOutCases(sequences []catalog.Sequence) []evalCase {
	var cases []evalCase
	for _, s := range sequences {
		if len(s.Items) >= minEvaluationItems {
			cases = append(cases, newEvalCase(s, 1))
		}
	}
	return cases
}

// sample draws cases by the seed and also returns the rest; a limit of 0 draws all.
func sample(cases []evalCase, limit int, seed int64) (sampled, rest []evalCase) {
	if limit == 0 || limit >= len(cases) {
		return cases, nil
	}
	rng := rand.New(rand.NewPCG(uint64(seed), evaluationStream))
	rng.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	return cases[:limit], cases[limit:]
}

// evaluationSet is the set on which a candidate and the current version are evaluated. Neither was trained
// on the held-out items.
type evaluationSet struct {
	cases       []evalCase         // the leave-one-out cases first
	leaveOneOut int                // number of leave-one-out cases
	since       time.Time          // newer cases belong to the newest interactions; zero: none do
	popular     map[string]bool    // the most popular items
	ranker      model.RankerConfig // of the evaluated rankers
}

// popularShare is the share of the catalog that counts as popular.
const popularShare = 0.01

// newEvaluationSet samples leave-one-out cases and as many of the newest interactions.
func newEvaluationSet(c Config, sequences []catalog.Sequence, items *catalog.Catalog, since time.Time) evaluationSet {
	e := evaluationSet{since: since, popular: make(map[string]bool), ranker: c.Ranker}
	sampled, rest := sample(leaveOneOutCases(sequences), c.EvaluateUsers, c.Seed)
	e.cases, e.leaveOneOut = slices.Clip(sampled), len(sampled)
	count := 0 // of the newest interactions
	for _, q := range sampled {
		if e.isNewest(q) {
			count++
		}
	}
	for _, q := range rest {
		if e.isNewest(q) && count < c.EvaluateUsers {
			e.cases = append(e.cases, q)
			count++
		}
	}
	popular, _ := items.Popular(int(popularShare * float64(items.Items())))
	for _, item := range popular {
		e.popular[item] = true
	}
	return e
}

func (e evaluationSet) isNewest(c evalCase) bool { return !e.since.IsZero() && c.newest.After(e.since) }

// record adds the gain of case i, whose held-out item has a rank in the list (-1: absent).
func (e evaluationSet) record(results *gate.Results, i, rank int) {
	gain := ndcgAt10(rank)
	if i < e.leaveOneOut {
		results.LeaveOneOut = append(results.LeaveOneOut, gain)
	}
	if e.isNewest(e.cases[i]) {
		results.Newest = append(results.Newest, gain)
	}
}

// evaluate evaluates a ranker over the items of a catalog.
func (e evaluationSet) evaluate(ctx context.Context, ranker *model.Ranker, over *catalog.Catalog, stage string, progress Progress) (metrics Metrics, results gate.Results, err error) {
	tally, i, started := gate.NewTally(e.popular), 0, time.Now()
	err = forEachBatch(ctx, e.cases, stage, progress, func(batch []evalCase, queries []model.Query) error {
		ranked, err := ranker.Rank(ctx, queries)
		if err != nil {
			return err
		}
		if len(batch) == min(evaluateBatch, len(e.cases)) {
			tally.Batch(time.Since(started))
		}
		for j, list := range ranked {
			rank := batch[j].rank(list)
			if i < e.leaveOneOut {
				metrics.addList(rank, list)
			}
			e.record(&results, i, rank)
			items, scores := columns(list)
			tally.Add(items, scores, e.completeLength(batch[j], over))
			i++
		}
		started = time.Now()
		return nil
	})
	metrics.mean()
	results.Lists = tally.Lists(over.Items())
	return metrics, results, err
}

// completeLength returns the number of items of a complete list.
func (e evaluationSet) completeLength(c evalCase, over *catalog.Catalog) int {
	left := over.Items()
	if !e.ranker.AllowSeen {
		seen := over.ItemIndices(c.Items)
		slices.Sort(seen)
		left -= len(slices.Compact(seen))
	}
	return min(e.ranker.Items, left)
}

func columns(list []model.Ranked) (items []string, scores []float64) {
	for _, r := range list {
		items, scores = append(items, r.Item), append(scores, r.Probability)
	}
	return items, scores
}

// popularTargets returns the share of popular items among the held-out items.
func (e evaluationSet) popularTargets() float64 {
	count := 0
	for _, c := range e.cases {
		if e.popular[c.target] {
			count++
		}
	}
	return float64(count) / math.Max(1, float64(len(e.cases)))
}

// popularity evaluates the list of the most popular items, without those that the user has, and returns the
// gains. Popularity does not include held-out items.
func (e evaluationSet) popularity(sequences []catalog.Sequence, allowSeen bool) []float64 {
	counts := make(map[string]int)
	for _, s := range sequences {
		for _, item := range catalog.WithoutHeldOut(s.Items, 1) {
			counts[item]++
		}
	}
	order := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var results gate.Results
	for i, q := range e.cases[:e.leaveOneOut] {
		e.record(&results, i, rankAmong(order, q, allowSeen))
	}
	return results.LeaveOneOut
}

// rankAmong returns the rank of the held-out item in a non-personalized list without the items that the
// user has, -1 if it is not among the first ten.
func rankAmong(order []string, c evalCase, allowSeen bool) int {
	rank := 0
	for _, item := range order {
		switch {
		case !allowSeen && slices.Contains(c.Items, item):
			continue
		case item == c.target:
			return rank
		}
		if rank++; rank == gate.Cutoff {
			break
		}
	}
	return -1
}
