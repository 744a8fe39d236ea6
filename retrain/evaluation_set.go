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

// minEvaluationItems is how many a history has of which the last is held out.
const minEvaluationItems = 3

// leaveOneOut asks each user for the last item, given the others. Histories of fewer than
// three items have no held-out part and are left out.
func leaveOneOut(sequences []catalog.Sequence) []question {
	var questions []question
	for _, s := range sequences {
		if len(s.Items) >= minEvaluationItems {
			questions = append(questions, ask(s, 1))
		}
	}
	return questions
}

// draw takes so many questions by the seed, and says which are left; 0 takes all.
func draw(questions []question, limit int, seed int64) (drawn, left []question) {
	if limit == 0 || limit >= len(questions) {
		return questions, nil
	}
	rng := rand.New(rand.NewPCG(uint64(seed), evaluationStream))
	rng.Shuffle(len(questions), func(i, j int) { questions[i], questions[j] = questions[j], questions[i] })
	return questions[:limit], questions[limit:]
}

// evaluationSet is what a new model and the current one are evaluated on: the same questions, to which
// neither has seen the answers.
type evaluationSet struct {
	questions []question // the leave-one-out ones first
	drawn     int        // how many those are
	since     time.Time  // news are later; zero if there are none
	popular   map[string]bool
	search    model.RankerConfig
}

// popularPart of a catalog are its popular items.
const popularPart = 0.01

// newEvaluationSet draws at most so many questions that leave one out, and as many about news.
func newEvaluationSet(c Config, sequences []catalog.Sequence, items *catalog.Catalog, since time.Time) evaluationSet {
	e := evaluationSet{since: since, popular: make(map[string]bool), search: c.Ranker}
	drawn, left := draw(leaveOneOut(sequences), c.EvaluateUsers, c.Seed)
	e.questions, e.drawn = slices.Clip(drawn), len(drawn)
	news := 0
	for _, q := range drawn {
		if e.news(q) {
			news++
		}
	}
	for _, q := range left {
		if e.news(q) && news < c.EvaluateUsers {
			e.questions = append(e.questions, q)
			news++
		}
	}
	popular, _ := items.Popular(int(popularPart * float64(items.Items())))
	for _, item := range popular {
		e.popular[item] = true
	}
	return e
}

func (e evaluationSet) news(q question) bool { return !e.since.IsZero() && q.at.After(e.since) }

// grade is what the answer to question i is worth: the place of the item, -1 for none.
func (e evaluationSet) record(answers *gate.Answers, i, place int) {
	gain := ndcgAt10(place)
	if i < e.drawn {
		answers.LeaveOneOut = append(answers.LeaveOneOut, gain)
	}
	if e.news(e.questions[i]) {
		answers.Newest = append(answers.Newest, gain)
	}
}

// sit asks a ranker over the items of a catalog.
func (e evaluationSet) evaluate(ctx context.Context, ranker *model.Ranker, over *catalog.Catalog, stage string, progress Progress) (metrics Metrics, answers gate.Answers, err error) {
	tally, i, started := gate.NewTally(e.popular), 0, time.Now()
	err = inBatches(ctx, e.questions, stage, progress, func(batch []question, queries []model.Query) error {
		ranked, err := ranker.Rank(ctx, queries)
		if err != nil {
			return err
		}
		if len(batch) == min(evaluateBatch, len(e.questions)) {
			tally.Batch(time.Since(started))
		}
		for j, list := range ranked {
			place := batch[j].place(list)
			if i < e.drawn {
				metrics.add(place)
			}
			e.record(&answers, i, place)
			items, scores := columns(list)
			tally.Add(items, scores, e.full(batch[j], over))
			i++
		}
		started = time.Now()
		return nil
	})
	metrics.mean()
	answers.Lists = tally.Lists(over.Items())
	return metrics, answers, err
}

// full is how many items a list has that lacks none.
func (e evaluationSet) full(q question, over *catalog.Catalog) int {
	left := over.Items()
	if !e.search.AllowSeen {
		seen := over.ItemIndices(q.Items)
		slices.Sort(seen)
		left -= len(slices.Compact(seen))
	}
	return min(e.search.Items, left)
}

func columns(list []model.Ranked) (items []string, scores []float64) {
	for _, r := range list {
		items, scores = append(items, r.Item), append(scores, r.Probability)
	}
	return items, scores
}

// popularShare is the share of popular items among the answers.
func (e evaluationSet) popularShare() float64 {
	count := 0
	for _, q := range e.questions {
		if e.popular[q.answer] {
			count++
		}
	}
	return float64(count) / math.Max(1, float64(len(e.questions)))
}

// popularity answers with the items that most users have, but for those that the user
// has. The answers are not counted.
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
	var answers gate.Answers
	for i, q := range e.questions[:e.drawn] {
		e.record(&answers, i, rankAmong(order, q, allowSeen))
	}
	return answers.LeaveOneOut
}

// rankAmong is the place of the answer among the first places of a list for everybody.
func rankAmong(order []string, q question, allowSeen bool) int {
	place := 0
	for _, item := range order {
		switch {
		case !allowSeen && slices.Contains(q.Items, item):
			continue
		case item == q.answer:
			return place
		}
		if place++; place == gate.Places {
			break
		}
	}
	return -1
}
