package inference

import (
	"context"
	"reflect"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func sequenceOf(version int64, items ...string) sessions.Sequence {
	s := sessions.Sequence{User: "ann", Version: version}
	for _, item := range items {
		s.Interactions = append(s.Interactions, userstate.Interaction{Item: item})
	}
	return s
}

func TestAnswers(t *testing.T) {
	list := userstate.List{
		ModelVersion: "v1", SequenceVersion: 10, Source: userstate.SourceModel,
		Items: []userstate.ScoredItem{{Item: "apple"}, {Item: "bread"}},
	}
	credit := func(s sessions.Sequence, version string) sessions.Sequence {
		s.Interactions[len(s.Interactions)-1].Credited = version
		return s
	}
	popular := list
	popular.Source = userstate.SourcePopular
	for _, c := range []struct {
		name string
		list userstate.List
		s    sessions.Sequence
		want []answer
	}{
		{"an item of the list", list, sequenceOf(11, "milk", "apple"), []answer{{"v1", 1, 1}}},
		{"another item", list, sequenceOf(11, "apple", "milk"), []answer{{"v1", 1, 0}}},
		{"several events", list, sequenceOf(14, "x", "milk", "apple", "apple", "tea"), []answer{{"v1", 4, 2}}},
		{"more than the window holds", list, sequenceOf(30, "milk", "apple"), []answer{{"v1", 2, 1}}},
		{"nothing new", list, sequenceOf(10, "apple"), nil},
		{"a sequence that began anew", list, sequenceOf(1, "apple"), nil},
		{"no list before", userstate.List{}, sequenceOf(3, "apple", "milk", "tea"), nil},
		{"the popular items", popular, sequenceOf(11, "apple"), nil},
		{"an answer to this version", list, credit(sequenceOf(11, "milk"), "v1"), []answer{{"v1", 1, 1}}},
		{"an answer to another one", list, credit(sequenceOf(12, "apple", "milk"), "v0"), []answer{{"v1", 1, 1}, {"v0", 1, 1}}},
		{"an answer to one that never served", list, credit(sequenceOf(11, "milk"), "v9"), []answer{{"v1", 1, 0}}},
	} {
		if got := answers(c.list, c.s, []string{"v0", "v1"}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// outcome is what Redis holds of a version today.
func (h *harness) outcome(version string) (o sessions.Outcome) {
	h.t.Helper()
	outcomes, _, err := h.store.Outcomes(h.t.Context(), version, []string{sessions.Day(time.Now())})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(outcomes) > 0 {
		o = outcomes[0]
		o.Day = ""
	}
	return o
}

// TestFeedbackIsCountedOnce delivers each refresh again, also to another worker, and swaps
// to a new version in between.
func TestFeedbackIsCountedOnce(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	refresh := h.see("ann", "apple")
	h.produce(refresh, refresh)
	h.written(r, 1)
	h.produce(h.see("ann", "v1:apple")) // what was recommended
	h.written(r, 2)
	h.reachCommitted(3) // or a refresh that is still on its way gets a list of v2
	h.models.publish("v2")
	h.swapped(r, 2)
	refresh = h.see("ann", "bread", "cake") // what was not
	h.produce(refresh, refresh, refresh)
	h.written(r, 3)
	h.reachCommitted(6)
	r.Stop()

	again := h.run()
	h.produce(refresh)
	h.reachCommitted(7)
	late := event.Event{ID: "late", Item: "beer", Type: event.DefaultType, Time: time.Now(), RecID: userstate.NewRecID("v1")}
	if _, err := h.store.Append(t.Context(), []sessions.UserEvents{{User: "ann", Events: []event.Event{late}}}); err != nil {
		t.Fatal(err)
	}
	h.produce(refresh) // finds an event that answers v1, which served before this worker came
	h.written(again, 1)
	again.Stop()

	if got, want := h.outcome("v1"), (sessions.Outcome{Version: "v1", Interactions: 3, Hits: 1, Users: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := h.outcome("v2"), (sessions.Outcome{Version: "v2", Interactions: 1, Users: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFeedbackWaitsForRedis(t *testing.T) {
	h := newHarness(t)
	r := New(Config{Kafka: h.kafka()}, h.models, h.store).open()
	t.Cleanup(func() { _ = r.close() })
	r.feedback.add(time.Now(), "ann", []answer{{"v1", 3, 1}})
	h.servers.StopRedis()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.feedback.add(time.Now(), "bob", []answer{{"v1", 1, 1}, {"v2", 1, 0}})
	if err := r.writeFeedback(ended); err == nil {
		t.Fatal("the feedback was written without Redis")
	}
	h.servers.RestartRedis()
	r.feedback.add(time.Now(), "ann", []answer{{"v1", 1, 0}})
	if err := r.flushRest(ended); err != nil {
		t.Fatal(err)
	}
	if got, want := h.outcome("v1"), (sessions.Outcome{Version: "v1", Interactions: 5, Hits: 2, Users: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func BenchmarkAnswers(b *testing.B) {
	list := userstate.List{ModelVersion: "v000001", SequenceVersion: 127, Source: userstate.SourceModel}
	for i := range 20 {
		list.Items = append(list.Items, userstate.ScoredItem{Item: "B00014" + string(rune('A'+i)) + "FVW", Score: .01})
	}
	var items []string
	for i := range 128 {
		items = append(items, "B00015"+string(rune('A'+i%26))+"FVX")
	}
	s, served := sequenceOf(128, items...), []string{"v000001"}
	f := feedback{tallies: make(map[tallyKey]*tally)}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		f.add(now, "A2SUAM1J3GNN3B", answers(list, s, served))
	}
}
