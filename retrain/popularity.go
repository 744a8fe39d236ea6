package retrain

import (
	"cmp"
	"maps"
	"slices"

	"genrec/model/catalog"
	"genrec/retrain/gate"
)

// popularity answers with the items that most users have, but for those that the user
// has. The answers are not counted.
func (e exam) popularity(sequences []catalog.Sequence, allowSeen bool) []float64 {
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
		e.grade(&answers, i, placeAmong(order, q, allowSeen))
	}
	return answers.LeaveOneOut
}

// placeAmong is the place of the answer among the first places of a list for everybody.
func placeAmong(order []string, q question, allowSeen bool) int {
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
