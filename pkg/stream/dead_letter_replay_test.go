package stream_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

func writeDeadLetters(t *testing.T, servers *embeddedtest.Servers, originals ...kafka.Message) {
	t.Helper()
	w := stream.NewDeadLetterWriter(servers.Cluster(), stream.DefaultTopics().DeadLetters)
	defer w.Close()
	for _, m := range originals {
		reason := string(m.Headers[0].Value)
		if err := w.WriteMessages(t.Context(), stream.NewDeadLetter(m, reason, "detail")); err != nil {
			t.Fatal(err)
		}
	}
}

func original(topic, key, reason string) kafka.Message {
	return kafka.Message{Topic: topic, Key: []byte(key), Value: []byte("of " + key), Headers: []kafka.Header{{Key: "why", Value: []byte(reason)}}}
}

func keys(t *testing.T, servers *embeddedtest.Servers, topic string) []string {
	t.Helper()
	var keys []string
	err := stream.Scan(t.Context(), servers.Cluster(), topic, stream.Earliest, func(m kafka.Message) error {
		keys = append(keys, string(m.Key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func TestReplayDeadLetters(t *testing.T) {
	servers := startWithTopics(t)
	writeDeadLetters(t, servers,
		original("interactions", "a1", "a"), original("interactions", "b1", "b"), original("refreshes", "a2", "a"), original("foreign", "c1", "c"))
	replay := func(change func(*stream.ReplayConfig), want stream.ReplayResult, interactions, refreshes string) {
		t.Helper()
		cfg := stream.ReplayConfig{Kafka: servers.Cluster(), Topics: stream.DefaultTopics(), Logger: quiet}
		change(&cfg)
		got, err := stream.ReplayDeadLetters(t.Context(), cfg)
		if err != nil || got != want {
			t.Errorf("got %+v, error %v; want %+v", got, err, want)
		}
		if got := fmt.Sprint(keys(t, servers, "interactions")); got != interactions {
			t.Errorf("the interactions have the keys %s, want %s", got, interactions)
		}
		if got := fmt.Sprint(keys(t, servers, "refreshes")); got != refreshes {
			t.Errorf("the refreshes have the keys %s, want %s", got, refreshes)
		}
	}
	all := func(*stream.ReplayConfig) {}
	onlyA := func(c *stream.ReplayConfig) { c.Reasons = []string{"a"} }

	replay(func(c *stream.ReplayConfig) { c.DryRun = true }, stream.ReplayResult{Replayed: 3, Foreign: 1}, "[]", "[]")
	replay(onlyA, stream.ReplayResult{Replayed: 2, Foreign: 1}, "[a1]", "[a2]")
	replay(onlyA, stream.ReplayResult{AlreadyReplayed: 2, Foreign: 1}, "[a1]", "[a2]")
	replay(all, stream.ReplayResult{Replayed: 1, AlreadyReplayed: 2, Foreign: 1}, "[a1 b1]", "[a2]")
	writeDeadLetters(t, servers, original("interactions", "a3", "a"))
	replay(all, stream.ReplayResult{Replayed: 1, AlreadyReplayed: 3, Foreign: 1}, "[a1 a3 b1]", "[a2]")
	replay(func(c *stream.ReplayConfig) { c.IncludeReplayed = true }, stream.ReplayResult{Replayed: 4, Foreign: 1}, "[a1 a1 a3 a3 b1 b1]", "[a2 a2]")
}

func TestDeadLettersOfReplaysAreNotReplayed(t *testing.T) {
	servers := startWithTopics(t)
	failed := original("interactions", "ann", "a")
	failed.Headers = append(failed.Headers, kafka.Header{Key: stream.HeaderReplayed, Value: []byte("interactions.dead/0/0")})
	writeDeadLetters(t, servers, failed)
	got, err := stream.ReplayDeadLetters(t.Context(), stream.ReplayConfig{Kafka: servers.Cluster(), Topics: stream.DefaultTopics(), Logger: quiet})
	if want := (stream.ReplayResult{AlreadyReplayed: 1}); err != nil || got != want {
		t.Errorf("got %+v, error %v; want %+v: it would be replayed forever", got, err, want)
	}
}
