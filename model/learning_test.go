package model

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"genrec/model/catalog"
)

const rings, ringSize = 3, 6

func TestLearnsRepeatingPatterns(t *testing.T) {
	ownThread(t)
	sequences := cycles(180, rings, ringSize, 8)
	b := newBundle(t, sequences, 1)
	pretrain, finetune := train(t, b, sequences, 60, 1)
	if first, last := pretrain[0], pretrain[len(pretrain)-1]; last > 0.6*first {
		t.Errorf("the pretraining loss went from %.3f to %.3f: it should fall by more than 40 %%", first, last)
	}
	if first, last := finetune[0], finetune[len(finetune)-1]; last > 0.8*first {
		t.Errorf("the finetuning loss went from %.3f to %.3f: it should fall by more than 20 %%", first, last)
	}

	ranker, err := NewRanker(b, RankerConfig{Beams: Beams, Items: TopItems, AllowSeen: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	for ring := range rings {
		for place := range ringSize {
			q := Query{User: "a stranger"}
			for i := range 4 {
				q.Items = append(q.Items, ringItem(ring, (place+i)%ringSize))
			}
			ranked, err := ranker.Rank(t.Context(), []Query{q})
			if err != nil {
				t.Fatal(err)
			}
			if want := ringItem(ring, (place+4)%ringSize); ranked[0][0].Item != want {
				t.Errorf("after %v comes %q with probability %.2f, want %q", q.Items, ranked[0][0].Item, ranked[0][0].Probability, want)
			}
		}
	}
}

func TestTrainingIsReproducible(t *testing.T) {
	ownThread(t)
	if testDevice(t) != CPU {
		t.Skip("the order of sums on a GPU varies")
	}
	sequences := cycles(60, rings, ringSize, 6)
	queries := []Query{
		{User: "user-3", Items: sequences[3].Items[:4]},
		{User: "a stranger", Items: []string{"not in the catalog"}},
		{User: "user-7", Items: sequences[7].Items},
	}
	var weights [][]byte
	var answers [][][]Ranked
	for range 2 {
		b := newBundle(t, sequences, 42)
		train(t, b, sequences, 2, 42)
		dir := t.TempDir()
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, WeightsFile))
		if err != nil {
			t.Fatal(err)
		}
		weights, answers = append(weights, data), append(answers, recommend(t, b, queries))

		loaded, err := LoadBundle(dir, testDevice(t))
		if err != nil {
			t.Fatal(err)
		}
		defer loaded.Model.Drop()
		answers = append(answers, recommend(t, loaded, queries))
	}
	if !slices.Equal(weights[0], weights[1]) {
		t.Error("two trainings with the same seed have different weights")
	}
	for i, a := range answers {
		if !slices.EqualFunc(a, answers[0], slices.Equal[[]Ranked]) {
			t.Errorf("result %d differs from the first, though the model is the same:\n%v\n%v", i, a, answers[0])
		}
	}
}

func recommend(t *testing.T, b Bundle, queries []Query) [][]Ranked {
	t.Helper()
	ranker, err := NewRanker(b, DefaultRankerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	ranked, err := ranker.Rank(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	return ranked
}

func TestRankingIsDistinctKnownAndUnseen(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, 12, 12, 8) // 144 items
	b := newBundle(t, sequences, 5)
	queries := []Query{{User: "new", Items: nil}}
	for _, s := range sequences[:20] {
		queries = append(queries, Query{User: s.User, Items: s.Items})
	}
	for i, items := range recommend(t, b, queries) {
		if len(items) != TopItems {
			t.Errorf("query %d got %d items, want %d", i, len(items), TopItems)
		}
		met := make(map[string]bool)
		last := 1.0
		for _, item := range items {
			switch {
			case b.Catalog.ItemIndex(item.Item) == catalog.Unknown:
				t.Errorf("query %d got %q, which is not in the catalog", i, item.Item)
			case met[item.Item]:
				t.Errorf("query %d got %q twice", i, item.Item)
			case slices.Contains(queries[i].Items, item.Item):
				t.Errorf("query %d got %q, which the user has seen", i, item.Item)
			case item.Probability > last:
				t.Errorf("query %d is not ordered: %v after %v", i, item.Probability, last)
			}
			met[item.Item], last = true, item.Probability
		}
	}
}
