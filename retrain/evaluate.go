package retrain

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"genrec/model"
	"genrec/model/catalog"
)

// evaluateBatch is how many users are ranked at once.
const evaluateBatch = 64

// question asks for the item that a user took after others.
type question struct {
	model.Query
	answer string
	at     time.Time // of the history's newest item, if it is known
}

// place is where the answer stands in a list, from 0; -1 if it does not.
func (q question) place(list []model.Ranked) int {
	return slices.IndexFunc(list, func(item model.Ranked) bool { return item.Item == q.answer })
}

// ask holds out the item at a place counted from the end of a history (1: the last).
func ask(s catalog.Sequence, fromEnd int) question {
	at := len(s.Items) - fromEnd
	return question{model.Query{User: s.User, Items: s.Items[:at]}, s.Items[at], s.Newest}
}

// Evaluate ranks all items for the users of a leave-one-out split: each is asked for
// the last item, given the others. Histories of fewer than three items have no
// held-out part and are left out. A limit takes so many users, drawn by the seed; 0
// takes all.
func Evaluate(ctx context.Context, ranker *model.Ranker, sequences []catalog.Sequence, limit int, seed int64, progress Progress) (Metrics, error) {
	questions, _ := draw(leaveOneOut(sequences), limit, seed)
	if len(questions) == 0 {
		return Metrics{}, fmt.Errorf("nobody can be evaluated: none of %d users has %d items", len(sequences), leastItems)
	}
	if progress == nil {
		progress = silent{}
	}
	return evaluate(ctx, ranker, questions, "evaluate", progress)
}

// EvaluateStored is Evaluate for a version's folder.
func EvaluateStored(ctx context.Context, dir string, device model.Device, c model.RankerConfig, sequences []catalog.Sequence, limit int, seed int64, progress Progress) (m Metrics, err error) {
	runtime.LockOSThread() // the model's
	defer runtime.UnlockOSThread()
	err = withStored(dir, device, c, func(ranker *model.Ranker, _ *catalog.Catalog) error {
		m, err = Evaluate(ctx, ranker, sequences, limit, seed, progress)
		return err
	})
	return m, err
}

// withStored lends a ranker of a version's folder. The caller's goroutine is locked to its
// thread.
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

// evaluate measures the ranker as it is.
func evaluate(ctx context.Context, ranker *model.Ranker, questions []question, stage string, progress Progress) (metrics Metrics, err error) {
	err = inBatches(ctx, questions, stage, progress, func(batch []question, queries []model.Query) error {
		ranked, err := ranker.Rank(ctx, queries)
		for i, items := range ranked {
			metrics.add(batch[i].place(items))
		}
		return err
	})
	metrics.mean()
	return metrics, err
}

// weigh measures mixtures of the parts, each of which is asked once. The gains are those of
// each mixture's answers to the questions: [mixture][question].
func weigh(ctx context.Context, ranker *model.Ranker, questions []question, mixtures []model.EnsembleWeights, progress Progress) (tried []weighed, gains [][]float32, err error) {
	tried, gains = make([]weighed, len(mixtures)), make([][]float32, len(mixtures))
	needed := needs(mixtures)
	err = inBatches(ctx, questions, "weigh the parts", progress, func(batch []question, queries []model.Query) error {
		found, err := ranker.Retrieve(ctx, queries, needed)
		if err != nil {
			return err
		}
		answers := make([]string, len(batch))
		for i, q := range batch {
			answers[i] = q.answer
		}
		for i, weights := range mixtures {
			tried[i].EnsembleWeights = weights
			for _, place := range found.Positions(weights, answers) {
				tried[i].add(place)
				gains[i] = append(gains[i], float32(gain10(place)))
			}
		}
		return nil
	})
	for i := range tried {
		tried[i].mean()
	}
	return tried, gains, err
}

// needs has a weight for every part that has one in a mixture.
func needs(mixtures []model.EnsembleWeights) model.EnsembleWeights {
	var needed model.EnsembleWeights
	for _, w := range mixtures {
		needed = model.EnsembleWeights{
			Dense: max(needed.Dense, w.Dense), Sequential: max(needed.Sequential, w.Sequential), Association: max(needed.Association, w.Association),
		}
	}
	const parts = 4 // so that the search is left a weight, too
	return model.EnsembleWeights{Dense: needed.Dense / parts, Sequential: needed.Sequential / parts, Association: needed.Association / parts}
}

func inBatches(ctx context.Context, questions []question, stage string, progress Progress, each func([]question, []model.Query) error) error {
	progress.Start(stage, (len(questions)+evaluateBatch-1)/evaluateBatch, 0)
	defer progress.Finish()
	for batch := range slices.Chunk(questions, evaluateBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		queries := make([]model.Query, len(batch))
		for i, q := range batch {
			queries[i] = q.Query
		}
		if err := each(batch, queries); err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
		progress.Step(0)
	}
	return nil
}
