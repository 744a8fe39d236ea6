package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/inference"
	"genrec/inference/versions"
	"genrec/ingest"
	"genrec/model"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/retrain"
	"genrec/retrain/snapshot"
	"genrec/sessions"
)

// system is ingest and inference on embedded servers.
type system struct {
	t        *testing.T
	servers  *embeddedtest.Servers
	rdb      *redis.Client
	store    *sessions.Store
	registry *registry.Registry
	writer   *kafka.Writer
	ingester *ingest.Ingester
	events   int
}

func startSystem(t *testing.T) *system {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	s := &system{t: t, servers: servers, rdb: rdb}
	var err error
	if s.store, err = sessions.Open(t.Context(), s.rdb, sessions.Options{}); err != nil {
		t.Fatal(err)
	}
	if s.registry, err = registry.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	s.writer = stream.NewWriter(servers.Cluster(), stream.DefaultTopics().Interactions)
	t.Cleanup(func() { s.writer.Close() })

	s.ingester = ingest.New(ingest.Config{Kafka: servers.Cluster()}, s.store)
	served := &versions.Versions{Registry: s.registry, Device: model.CPU, Ranker: model.DefaultRankerConfig()}
	worker := inference.New(inference.Config{Kafka: servers.Cluster(), PollModels: 50 * time.Millisecond}, served, s.store)
	for _, run := range []func(context.Context) error{s.ingester.Run, worker.Run} {
		t.Cleanup(embeddedtest.Run(t, run).Stop)
	}
	return s
}

// produce sends raw values with the key that producers use.
func (s *system) produce(key string, values ...string) {
	s.t.Helper()
	messages := make([]kafka.Message, len(values))
	for i, v := range values {
		messages[i] = kafka.Message{Key: []byte(key), Value: []byte(v)}
	}
	if err := s.writer.WriteMessages(s.t.Context(), messages...); err != nil {
		s.t.Fatal(err)
	}
	s.events += len(values)
}

// walk produces the events of a user who goes around a ring of items.
func (s *system) walk(user string, ring, from, steps int) {
	s.t.Helper()
	var values []string
	for i := range steps {
		values = append(values, fmt.Sprintf(`{"event_id": "%s-%d", "user_id": %q, "item_id": %q, "timestamp": %d}`,
			user, from+i, user, place(ring, from+i), 1_750_000_000_000+int64(from+i)*60_000))
	}
	s.produce(user, values...)
}

const ringLength = 10

func place(ring, at int) string { return fmt.Sprintf("ring-%d/place-%d", ring, at%ringLength) }

func (s *system) awaitIngested() {
	s.t.Helper()
	await(s.t, "ingest of all events", func() bool { return s.ingester.Stats().Read >= int64(s.events) })
}

// read reads recommendations as a shop does: one GET, one JSON value.
func (s *system) read(user string) (r userstate.List, found bool) {
	s.t.Helper()
	value, err := s.rdb.Get(s.t.Context(), "genrec:recs:{"+user+"}").Bytes()
	if errors.Is(err, redis.Nil) {
		return r, false
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(value, &r); err != nil {
		s.t.Fatalf("the recommendations of %s are not JSON: %v", user, err)
	}
	return r, true
}

func (s *system) retrain(seed int64, pretrainEpochs, finetuneEpochs int) retrain.Report {
	s.t.Helper()
	taken, sequences, err := retrain.Collect(s.t.Context(), snapshot.Config{Sequences: s.store}, s.registry)
	if err != nil {
		s.t.Fatal(err)
	}
	c := retrain.DefaultConfig()
	c.Snapshot, c.Seed, c.BatchSize, c.LearningRate = taken, seed, 32, 5e-3
	c.PretrainEpochs, c.FinetuneEpochs = pretrainEpochs, finetuneEpochs
	report, err := retrain.Run(s.t.Context(), c, sequences, s.registry)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

func TestEndToEnd(t *testing.T) {
	s := startSystem(t)
	const rings, walkers = 3, 240
	for u := range walkers {
		s.walk(fmt.Sprintf("walker-%d", u), u%rings, u/rings%ringLength, 6)
	}
	bad := map[string]string{
		"not_json":      `{"event_id": "x"`,
		"missing_field": `{"event_id": "x", "user_id": "u", "timestamp": 1750000000000}`,
		"bad_timestamp": `{"event_id": "x", "user_id": "u", "item_id": "i", "timestamp": 99999999999999999}`,
		"unknown_type":  `{"event_id": "x", "user_id": "u", "item_id": "i", "timestamp": 1750000000000, "type": "dance"}`,
		"too_large":     `{"event_id": "x", "context": {"note": "` + strings.Repeat("x", 1_000_000) + `"}}`,
	}
	for _, value := range bad {
		s.produce("u", value)
	}
	s.walk("traveler", 1, 3, 4)
	s.awaitIngested()

	first := s.retrain(1, 20, 60)
	await(t, "recommendations for the traveler", func() bool { _, found := s.read("traveler"); return found })
	before, _ := s.read("traveler")
	if before.ModelVersion != first.Version || before.Source != userstate.SourceModel || before.SequenceVersion != 4 {
		t.Errorf("the list has model %q, source %q, sequence version %d; want %q, model, 4",
			before.ModelVersion, before.Source, before.SequenceVersion, first.Version)
	}
	if want := place(1, 7); before.Items[0].Item != want {
		t.Errorf("after %s, %q comes first, want %q", place(1, 6), before.Items[0].Item, want)
	}

	// One more event regenerates the recommendations.
	s.walk("traveler", 1, 7, 1)
	await(t, "an answer to the traveler's event", func() bool { r, _ := s.read("traveler"); return r.SequenceVersion == 5 })
	after, _ := s.read("traveler")
	if want := place(1, 8); after.Items[0].Item != want {
		t.Errorf("after %s, %q comes first, want %q", place(1, 7), after.Items[0].Item, want)
	}
	if len(after.Items) != model.TopItems {
		t.Errorf("the list has %d items, want %d", len(after.Items), model.TopItems)
	}
	var met []string
	for _, item := range after.Items {
		if slices.Contains(met, item.Item) {
			t.Errorf("%q is recommended twice", item.Item)
		}
		met = append(met, item.Item)
	}
	for at := 3; at <= 7; at++ {
		if slices.Contains(met, place(1, at)) {
			t.Errorf("%q is recommended to a user who has it", place(1, at))
		}
	}

	// A user whose list has expired gets items similar to the newest ones, labeled as such.
	if err := s.rdb.Del(t.Context(), "genrec:recs:{walker-0}").Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "what is popular near items", func() bool {
		answers, err := recs.New(s.rdb, recs.Options{}).Read(t.Context(), []string{"walker-0"}, recs.Query{N: 1, ExcludeSeen: true})
		return err == nil && answers[0].Source == recs.SourceContext
	})

	// An unknown user gets the popular items, labeled as such.
	stranger, err := s.store.List(t.Context(), "stranger")
	if err != nil || stranger.Source != userstate.SourcePopular || len(stranger.Items) != model.TopItems {
		t.Errorf("a stranger gets %+v (%v), want the popular items", stranger, err)
	}

	// A model that is not better does not serve; one that knows new items does, without a restart.
	if again := s.retrain(2, 1, 1); again.Gate.Promoted {
		t.Errorf("a second model of the same events: %s", again.Outcome())
	}
	for u := range walkers / rings {
		s.walk(fmt.Sprintf("newcomer-%d", u), rings, 2*ringLength+u%ringLength, 6) // later than all others
	}
	s.awaitIngested()
	second := s.retrain(2, 20, 60)
	if !second.Gate.Promoted || second.Gate.NewItems != ringLength || second.Gate.Newest.Users == 0 {
		t.Fatalf("a model with the items of a new ring: %s\n%+v", second.Outcome(), second.Gate)
	}
	await(t, "the swap to the second version", func() bool {
		s.walk("traveler", 1, 8, 1) // repeated events ask again, and change nothing
		r, _ := s.read("traveler")
		return r.ModelVersion == second.Version
	})
	if r, _ := s.read("traveler"); r.SequenceVersion != 6 {
		t.Errorf("after repeated events the sequence has version %d, want 6", r.SequenceVersion)
	}
	s.walk("newcomer-0", rings, 2*ringLength+6, 1)
	await(t, "a recommendation of an item that only the second version knows", func() bool {
		r, found := s.read("newcomer-0")
		return found && r.ModelVersion == second.Version && r.Items[0].Item == place(rings, 2*ringLength+7)
	})
	s.checkDeadLetters(bad)
}

func (s *system) checkDeadLetters(want map[string]string) {
	s.t.Helper()
	var messages []kafka.Message
	embeddedtest.Eventually(s.t, func() string {
		if messages = s.servers.Messages(stream.DefaultTopics().DeadLetters); len(messages) < len(want) {
			return fmt.Sprintf("there are %d dead letters, want %d", len(messages), len(want))
		}
		return ""
	})
	for _, m := range messages {
		reason := ""
		for _, h := range m.Headers {
			if h.Key == stream.HeaderReason {
				reason = string(h.Value)
			}
		}
		if !bytes.Equal(m.Value, []byte(want[reason])) {
			s.t.Errorf("dead letter with reason %q holds %d bytes %.60q, want those that were produced", reason, len(m.Value), m.Value)
		}
		delete(want, reason)
	}
	if len(want) > 0 {
		s.t.Errorf("no dead letter for %v", want)
	}
}
