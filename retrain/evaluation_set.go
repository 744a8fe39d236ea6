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

// leaveOneOut holds out the last item of each user with enough items.
func leaveOneOut(sequences []catalog.Sequence) []question {
	var questions []question
	for _, s := range sequences {
		if len(s.Items) >= minEvaluationItems {
			questions = append(questions, ask(s, 1))
		}
	}
	return questions
}

// draw samples questions by the seed and also returns the others; a limit of 0 takes all.
func draw(questions []question, limit int, seed int64) (drawn, left []question) {
	if limit == 0 || limit >= len(questions) {
		return questions, nil
	}
	rng := rand.New(rand.NewPCG(uint64(seed), evaluationStream))
	rng.Shuffle(len(questions), func(i, j int) { questions[i], questions[j] = questions[j], questions[i] })
	return questions[:limit], questions[limit:]
}

// evaluationSet is the set on which a candidate and the current version are evaluated. Neither was trained
// on the held-out items.
type evaluationSet struct {
	questions []question // the leave-one-out ones first
	drawn     int        // number of leave-one-out questions
	since     time.Time  // newer questions belong to the newest interactions; zero: there are none
	popular   map[string]bool
	search    model.RankerConfig
}

// popularPart is the share of the catalog that counts as popular.
const popularPart = 0.01

// newEvaluationSet samples leave-one-out questions and as many of the newest interactions.
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

// record adds the gain of question i, whose held-out item is at a place of the list (-1: absent).
func (e evaluationSet) record(answers *gate.Answers, i, place int) {
	gain := ndcgAt10(place)
	if i < e.drawn {
		answers.LeaveOneOut = append(answers.LeaveOneOut, gain)
	}
	if e.news(e.questions[i]) {
		answers.Newest = append(answers.Newest, gain)
	}
}

// evaluate evaluates a ranker over the items of a catalog.
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
				metrics.addList(place, list)
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

// full returns the number of items of a complete list.
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

// popularShare returns the share of popular items among the held-out items.
func (e evaluationSet) popularShare() float64 {
	count := 0
	for _, q := range e.questions {
		if e.popular[q.answer] {
			count++
		}
	}
	return float64(count) / math.Max(1, float64(len(e.questions)))
}

// popularity evaluates the list of the most popular items, without those that the user has. Held-out items
// are not counted.
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

// rankAmong returns the place of the held-out item in the non-personalized list.
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
