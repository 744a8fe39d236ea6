package retrain

import (
	"fmt"
	"slices"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
)

func TestPopularityExcludesItemsOfTheUser(t *testing.T) {
	// The last items do not count: a has 4 users, b 3, c 2, d 1; e and f have none.
	sequences := []catalog.Sequence{
		{User: "1", Items: []string{"a", "b", "c"}}, // c is the first that 1 does not have
		{User: "2", Items: []string{"a", "b", "d"}}, // d is the second, after c
		{User: "3", Items: []string{"a", "b", "c", "d", "e"}},
		{User: "4", Items: []string{"c", "a", "f"}},
		{User: "5", Items: []string{"a", "b"}}, // too short to be evaluated
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
		for _, rank := range c.want {
			gain := 0.0
			if rank >= 0 {
				gain = discountedGain(rank)
			}
			want = append(want, gain)
		}
		if got := e.popularity(sequences, c.allowSeen); !slices.Equal(got, want) {
			t.Errorf("seen items allowed %v: popularity gains %v, want %v", c.allowSeen, got, want)
		}
	}
}

func TestPopularItemsOfAnEvaluationSet(t *testing.T) {
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
	if got := e.popularTargets(); got < 0.5 || got > 0.52 {
		t.Errorf("the users took popular items at a share of %.2f, want half, and hardly more", got)
	}
}

func TestFullList(t *testing.T) {
	items, err := catalog.Build(ring(90), catalog.Options{Text: catalog.Numbered})
	if err != nil {
		t.Fatal(err)
	}
	long := evalCase{Query: model.Query{Items: []string{"unknown"}}}
	for i := range 15 {
		long.Items = append(long.Items, fmt.Sprintf("item-%02d", i), "item-00")
	}
	for _, c := range []struct {
		query     evalCase
		allowSeen bool
		want      int
	}{{evalCase{}, false, 20}, {long, false, 15}, {long, true, 20}} {
		ranker := model.DefaultRankerConfig()
		ranker.AllowSeen = c.allowSeen
		if got := (evaluationSet{ranker: ranker}).completeLength(c.query, items); got != c.want {
			t.Errorf("of 30 items, after %d: %d are a full list, want %d", len(c.query.Items), got, c.want)
		}
	}
}
