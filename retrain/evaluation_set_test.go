package retrain

import (
	"fmt"
	"slices"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
)

func TestPopularityAnswersWithoutWhatUsersHave(t *testing.T) {
	// The last items do not count: a has 4 users, b 3, c 2, d 1; e and f have none.
	sequences := []catalog.Sequence{
		{User: "1", Items: []string{"a", "b", "c"}}, // c is the first that 1 does not have
		{User: "2", Items: []string{"a", "b", "d"}}, // d is the second, after c
		{User: "3", Items: []string{"a", "b", "c", "d", "e"}},
		{User: "4", Items: []string{"c", "a", "f"}},
		{User: "5", Items: []string{"a", "b"}}, // used whole, and not asked
	}
	for _, c := range []struct {
		allowSeen bool
		want      []int
	}{{false, []int{0, 1, -1, -1}}, {true, []int{2, 3, -1, -1}}} {
		config := quick()
		items, err := catalog.Build(sequences, catalog.Options{Text: catalog.Numbered})
		if err != nil {
			t.Fatal(err)
		}
		e := newEvaluationSet(config, sequences, items, sequences[0].Newest)
		var want []float64
		for _, place := range c.want {
			gain := 0.0
			if place >= 0 {
				gain = discountedGain(place)
			}
			want = append(want, gain)
		}
		if got := e.popularity(sequences, c.allowSeen); !slices.Equal(got, want) {
			t.Errorf("seen items allowed %v: popularity gains %v, want %v", c.allowSeen, got, want)
		}
	}
}

func TestPopularItemsOfAnExam(t *testing.T) {
	var sequences []catalog.Sequence
	for u := range 200 { // "hit" is everyone's, and half of them took it last
		s := catalog.Sequence{User: fmt.Sprint(u), Items: []string{"hit", fmt.Sprint("x", u), fmt.Sprint("y", u)}}
		if u%2 == 0 {
			slices.Reverse(s.Items)
		}
		sequences = append(sequences, s)
	}
	items, err := catalog.Build(sequences, catalog.Options{Text: catalog.Numbered})
	if err != nil {
		t.Fatal(err)
	}
	e := newEvaluationSet(quick(), sequences, items, sequences[0].Newest)
	if len(e.popular) != 4 || !e.popular["hit"] {
		t.Errorf("of %d items, %v are popular; want a hundredth, with the one that all have", items.Items(), e.popular)
	}
	if got := e.popularShare(); got < 0.5 || got > 0.52 {
		t.Errorf("the users took popular items at a share of %.2f, want half, and hardly more", got)
	}
}

func TestFullList(t *testing.T) {
	items, err := catalog.Build(ring(90), catalog.Options{Text: catalog.Numbered})
	if err != nil {
		t.Fatal(err)
	}
	long := question{Query: model.Query{Items: []string{"unknown"}}}
	for i := range 15 {
		long.Items = append(long.Items, fmt.Sprintf("item-%02d", i), "item-00")
	}
	for _, c := range []struct {
		q         question
		allowSeen bool
		want      int
	}{{question{}, false, 20}, {long, false, 15}, {long, true, 20}} {
		search := model.DefaultRankerConfig()
		search.AllowSeen = c.allowSeen
		if got := (evaluationSet{search: search}).full(c.q, items); got != c.want {
			t.Errorf("of 30 items, after %d: %d are a full list, want %d", len(c.q.Items), got, c.want)
		}
	}
}
