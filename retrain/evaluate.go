package retrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"genrec/model"
	"genrec/model/catalog"
)

// evaluateBatch is the number of users per batch.
const evaluateBatch = 64

// evalCase is an evaluation case: the items of a user, and the held-out item that followed.
type evalCase struct {
	model.Query
	target string    // the held-out item
	newest time.Time // time of the user's newest event, zero if it is unknown
}

// rank returns the index of the held-out item in a list, -1 if it is absent.
func (c evalCase) rank(list []model.Ranked) int {
	return slices.IndexFunc(list, func(item model.Ranked) bool { return item.Item == c.target })
}

// newEvalCase holds out the item at a position counted from the end of the sequence (1: the last).
func newEvalCase(s catalog.Sequence, fromEnd int) evalCase {
	at := len(s.Items) - fromEnd
	return evalCase{model.Query{User: s.User, Items: s.Items[:at]}, s.Items[at], s.Newest}
}

// Evaluate evaluates a ranker leave-one-out: for each user with at least three items, the last one is held
// out and all items are ranked given the others. A limit samples that many users by the seed; 0 takes
// all.
func Evaluate(ctx context.Context, ranker *model.Ranker, sequences []catalog.Sequence, limit int, seed int64, progress Progress) (Metrics, error) {
	cases, _ := sample(leaveOneOutCases(sequences), limit, seed)
	if len(cases) == 0 {
		return Metrics{}, fmt.Errorf("no user can be evaluated: none of %d users has %d items", len(sequences), minEvaluationItems)
	}
	if progress == nil {
		progress = noProgress{}
	}
	return evaluate(ctx, ranker, cases, "evaluate", progress)
}

// EvaluateStored evaluates the version in a folder.
func EvaluateStored(ctx context.Context, dir string, device model.Device, c model.RankerConfig, sequences []catalog.Sequence, limit int, seed int64, progress Progress) (m Metrics, err error) {
	runtime.LockOSThread() // the model belongs to it
	defer runtime.UnlockOSThread()
	err = withStored(dir, device, c, func(ranker *model.Ranker, _ *catalog.Catalog) error {
		m, err = Evaluate(ctx, ranker, sequences, limit, seed, progress)
		return err
	})
	return m, err
}

// withStored calls use with a ranker of the version in a folder. The caller's goroutine must be locked to
// its OS thread.
func withStored(dir string, device model.Device, c model.RankerConfig, use func(*model.Ranker, *catalog.Catalog) error) (err error) {
	bundle, err := model.LoadBundle(dir, device)
	if err != nil {
		return err
	}
	defer bundle.Model.Drop()
	ranker, err := model.NewRanker(bundle, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ranker.Close()) }()
	return use(ranker, bundle.Catalog)
}

// evaluate computes the metrics of a ranker.
func evaluate(ctx context.Context, ranker *model.Ranker, cases []evalCase, stage string, progress Progress) (metrics Metrics, err error) {
	err = forEachBatch(ctx, cases, stage, progress, func(batch []evalCase, queries []model.Query) error {
		ranked, err := ranker.Rank(ctx, queries)
		for i, items := range ranked {
			metrics.addList(batch[i].rank(items), items)
		}
		return err
	})
	metrics.mean()
	return metrics, err
}

// forEachBatch calls fn with batches of cases and their queries, as one stage of the progress.
func forEachBatch(ctx context.Context, cases []evalCase, stage string, progress Progress, fn func([]evalCase, []model.Query) error) error {
	progress.Start(stage, (len(cases)+evaluateBatch-1)/evaluateBatch, 0)
	defer progress.Finish()
	for batch := range slices.Chunk(cases, evaluateBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		queries := make([]model.Query, len(batch))
		for i, c := range batch {
			queries[i] = c.Query
		}
		if err := fn(batch, queries); err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
		progress.Step(0)
	}
	return nil
}

// Metrics are ranking metrics under leave-one-out with all items as candidates (paper, section
// 7.2): each user has one held-out item, at rank r (from 1) of the list. HR@k, the hit ratio, is
// the share of users with r <= k. NDCG@k, the normalized discounted cumulative gain, is the mean
// over users of 1/log2(r+1) where r <= k, and of 0 elsewhere.
type Metrics struct {
	// Users is the number of evaluated users; the other fields are means over them.
	Users  int     `json:"users"`
	HR1    float64 `json:"hr@1"`
	HR5    float64 `json:"hr@5"`
	HR10   float64 `json:"hr@10"`
	NDCG5  float64 `json:"ndcg@5"`
	NDCG10 float64 `json:"ndcg@10"`
	// SearchShare is the share of the items at ranks 1 to 10 that the beam search found, and SearchHitShare
	// that of the hits among them. Other components may have proposed the same items. They are 0 where
	// only ranks are known.
	SearchShare    float64 `json:"search_share,omitempty"`
	SearchHitShare float64 `json:"search_hit_share,omitempty"`
}

// add adds a user whose held-out item is at a rank, from 0; negative if it is not in the list.
func (m *Metrics) add(rank int) {
	m.Users++
	if rank < 0 {
		return
	}
	gain := discountedGain(rank)
	if rank < 1 {
		m.HR1++
	}
	if rank < 5 {
		m.HR5++
		m.NDCG5 += gain
	}
	if rank < 10 {
		m.HR10++
		m.NDCG10 += gain
	}
}

// addList adds a user whose held-out item is at an index of the list.
func (m *Metrics) addList(rank int, list []model.Ranked) {
	m.add(rank)
	top := list[:min(len(list), 10)]
	for i, item := range top {
		if item.Searched {
			m.SearchShare += 1 / float64(len(top))
			if i == rank {
				m.SearchHitShare++ // divided by the hits in mean
			}
		}
	}
}

// discountedGain is the gain of a hit at a rank, from 0.
func discountedGain(rank int) float64 { return 1 / math.Log2(float64(rank)+2) }

// ndcgAt10 is the contribution of a user to NDCG@10.
func ndcgAt10(rank int) float64 {
	if rank < 0 || rank >= 10 {
		return 0
	}
	return discountedGain(rank)
}

// mean turns the sums of add into means over the users.
func (m *Metrics) mean() {
	if m.Users == 0 {
		return
	}
	m.SearchHitShare /= max(1, m.HR10)
	for _, sum := range []*float64{&m.HR1, &m.HR5, &m.HR10, &m.NDCG5, &m.NDCG10, &m.SearchShare} {
		*sum /= float64(m.Users)
	}
}
