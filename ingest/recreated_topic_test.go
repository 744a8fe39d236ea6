package ingest

import (
	"fmt"
	"log/slog"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
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
