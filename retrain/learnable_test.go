package retrain

import (
	"errors"
	"strings"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
)

// Nothing is published of data that nothing can be learned from, and what serves goes on.
func TestNothingToLearn(t *testing.T) {
	users := func(histories ...[]string) (all []catalog.Sequence) {
		for i := range 200 {
			s := catalog.Sequence{User: "user-" + string(rune('A'+i/20)) + string(rune('a'+i%20)), Items: histories[i%len(histories)]}
			all = append(all, s)
		}
		return all
	}
	models := openRegistry(t)
	serving, err := Run(t.Context(), quick(), ring(60), models)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		sequences []catalog.Sequence
		allowSeen bool
		want      string // empty: there is something to learn
	}{
		{"nobody", nil, false, "no interactions"},
		{"one event each", users([]string{"a"}, []string{"b"}), false, "none of 200 users has 3 events"},
		{"two events each", users([]string{"a", "b"}, []string{"b", "c"}), false, "none of 200 users has 3 events"},
		{"one item each", users([]string{"a", "a", "a", "a"}, []string{"b", "b", "b"}), true, "none of 200 users has events of two different items"},
		{"one item before the last", users([]string{"a", "a", "b"}), false, "none of 200 users has events of two different items"},
		{"nothing new at the end", users([]string{"a", "b", "a"}, []string{"c", "d"}), false, "each of the 100 users with 3 events is one that the user had before"},
		{"seen items are allowed", users([]string{"a", "b", "a"}), true, ""},
		{"pairs, and somebody to ask", users([]string{"a", "b"}, []string{"a", "a", "b"}), false, ""},
		{"three items", users([]string{"a", "b", "c"}), false, ""},
	} {
		err := learnable(c.sequences, c.allowSeen)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if c.want == "" {
			continue
		}
		config := quick()
		config.Ranker.AllowSeen = c.allowSeen
		if _, err := Run(t.Context(), config, c.sequences, models); !errors.Is(err, ErrNoData) {
			t.Errorf("%s: Run ends in %v, want ErrNoData", c.name, err)
		}
	}
	versions, err := models.Versions(t.Context())
	if current, now := models.Current(t.Context()); err != nil || now != nil || current != serving.Version || len(versions) != 1 {
		t.Errorf("of the versions %v (%v), %q serves (%v), want %q alone", versions, err, current, now, serving.Version)
	}
}

func TestEvaluationOfNobody(t *testing.T) {
	models := openRegistry(t)
	report, err := Run(t.Context(), quick(), ring(60), models)
	if err != nil {
		t.Fatal(err)
	}
	short := []catalog.Sequence{{User: "a", Items: []string{"item-01", "item-02"}}}
	_, err = EvaluateStored(t.Context(), models.Dir(report.Version), model.CPU, quick().Ranker, short, 0, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "none of 1 users has 3 items") {
		t.Errorf("error %v, want one that says so", err)
	}
}
