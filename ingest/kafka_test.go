package ingest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// An Ingester continues without a restart when its topics are deleted and created again.
func TestRecreatedTopics(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	watcher := stream.NewTopicWatcher(h.kafka(), h.topics, 2, slog.New(slog.DiscardHandler))
	service := embeddedtest.Run(t, watcher.Run)
	defer service.Stop()
	h.produce(h.event("ann", "apple", 1), h.event("bob", "bread", 1))
	h.finished(r, 2)
	h.servers.Delete(h.topics.Interactions, h.topics.Refreshes, h.topics.DeadLetters)
	w := stream.NewWriter(h.kafka(), h.topics.Interactions)
	defer w.Close()
	if err := stream.Publish(t.Context(), slog.New(slog.DiscardHandler), w, h.event("ann", "bread", 2), h.event("cid", "curd", 1)); err != nil { // once the topic exists again
		t.Fatal(err)
	}
	h.eventually(func() string {
		for user, want := range map[string]int{"ann": 2, "bob": 1, "cid": 1} {
			sequences, err := h.store.Sequences(t.Context(), []string{user})
			if err != nil || len(sequences[0].Interactions) != want {
				return fmt.Sprintf("%s has %+v (error %v), want %d events", user, sequences, err, want)
			}
		}
		return ""
	})
	h.finished(r, 4)
	for _, user := range []string{"ann", "cid"} {
		h.wantRefreshed(user)
	}
}

// Only events of committed transactions are ingested; control records are not events.
func TestTransactions(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	producer := h.servers.Transactional("shop")
	value := func(user string) string {
		text, err := json.Marshal(event.Event{ID: "e-" + user, User: user, Item: "apple", Time: h.start})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for user, end := range map[string]func(){"aborted": producer.Abort, "committed": producer.Commit} {
		producer.Begin(h.topics.Interactions, 0, value(user))
		producer.Write(h.topics.Interactions, 1, value(user))
		end()
	}
	producer.Begin(h.topics.Interactions, 0, value("open"))
	h.eventually(func() string {
		if stats := r.Stats(); stats.Read < 2 {
			return "the committed events were not read"
		}
		return ""
	})
	producer.Abort()
	producer.Begin(h.topics.Interactions, 0, value("later"))
	producer.Commit()
	h.eventually(func() string {
		if stats := r.Stats(); stats.Read < 3 {
			return "the event after an open transaction was not read"
		}
		return ""
	})
	if stats := r.Stats(); stats.Read != 3 || len(stats.Dead) != 0 || stats.Duplicates != 1 {
		t.Errorf("got %+v, want two committed events, of which one is a duplicate, and a later one", stats)
	}
	sequences, err := h.store.Sequences(t.Context(), []string{"aborted", "committed", "open", "later"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 1, 0, 1} {
		if got := len(sequences[i].Interactions); got != want {
			t.Errorf("the sequence of %q has %d events, want %d", sequences[i].User, got, want)
		}
	}
}
