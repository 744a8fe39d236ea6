package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// harness is Kafka, Redis and a session store around an Ingester.
type harness struct {
	t       *testing.T
	servers *embeddedtest.Servers
	rdb     *redis.Client
	topics  stream.Topics
	store   *sessions.Store
	start   time.Time // of the first event
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	return &harness{t: t, servers: servers, rdb: rdb, topics: stream.DefaultTopics(), store: store, start: start}
}

// counted counts the failed Append calls.
type counted struct {
	Sessions
	failures atomic.Int64
}

func (c *counted) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	appended, err := c.Sessions.Append(ctx, batch)
	if err != nil {
		c.failures.Add(1)
	}
	return appended, err
}

// running is an Ingester whose Run has been called.
type running struct {
	*Ingester
	*embeddedtest.Service
	sessions *counted
}

func (h *harness) run() *running {
	return h.runInBatches(DefaultMaxBatch, defaultLinger)
}

func (h *harness) runInBatches(size int, linger time.Duration) *running {
	return h.runWithLinger(Config{MaxBatch: size}, h.store, linger)
}

func (h *harness) runWith(cfg Config, s Sessions) *running {
	return h.runWithLinger(cfg, s, defaultLinger)
}

func (h *harness) runWithLinger(cfg Config, s Sessions, linger time.Duration) *running {
	store := &counted{Sessions: s}
	cfg.Kafka, cfg.Logger = h.kafka(), slog.New(slog.DiscardHandler)
	i := New(cfg, store)
	i.linger = linger
	return &running{Ingester: i, Service: embeddedtest.Run(h.t, i.Run), sessions: store}
}

func (h *harness) kafka() stream.Cluster {
	return h.servers.Cluster()
}

func (h *harness) eventually(condition func() string) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, condition)
}

func (h *harness) finished(r *running, messages int64) {
	h.t.Helper()
	h.eventually(func() string {
		if s := r.Stats(); s.Read < messages {
			return fmt.Sprintf("%d of %d messages are finished: %+v", s.Read, messages, s)
		}
		return ""
	})
}

// event returns an event of a user; nth is its time in seconds after start.
func (h *harness) event(user, item string, nth int) kafka.Message {
	h.t.Helper()
	value, err := json.Marshal(event.Event{
		ID: fmt.Sprintf("%s-%d", user, nth), User: user, Item: item, Type: event.DefaultType,
		Time: h.start.Add(time.Duration(nth) * time.Second),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return kafka.Message{Key: []byte(user), Value: value}
}

func (h *harness) produce(messages ...kafka.Message) {
	h.t.Helper()
	w := stream.NewWriter(h.kafka(), h.topics.Interactions)
	defer w.Close()
	if err := w.WriteMessages(h.t.Context(), messages...); err != nil {
		h.t.Fatal(err)
	}
}

// wantItems checks the items of a user's sequence, separated by spaces.
func (h *harness) wantItems(user, want string) {
	h.t.Helper()
	sequences, err := h.store.Sequences(h.t.Context(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	var items []string
	for _, interaction := range sequences[0].Interactions {
		items = append(items, interaction.Item)
	}
	if got := strings.Join(items, " "); got != want {
		h.t.Errorf("the sequence of %s is %q, want %q", user, got, want)
	}
}

// messages returns all messages of a topic.
func (h *harness) messages(topic string) []kafka.Message {
	h.t.Helper()
	return h.servers.Messages(topic)
}

// refreshes returns the refreshes of a user in order.
func (h *harness) refreshes(user string) []stream.Refresh {
	h.t.Helper()
	var refreshes []stream.Refresh
	for _, m := range h.messages(h.topics.Refreshes) {
		r, err := stream.DecodeRefresh(m.Value)
		if err != nil {
			h.t.Fatal(err)
		}
		if r.User == user {
			refreshes = append(refreshes, r)
		}
	}
	return refreshes
}

// wantRefreshed checks that the newest refresh of a user has the version of the sequence.
func (h *harness) wantRefreshed(user string) {
	h.t.Helper()
	sequences, err := h.store.Sequences(h.t.Context(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	refreshes := h.refreshes(user)
	if len(refreshes) == 0 {
		h.t.Errorf("%s has no refresh", user)
		return
	}
	if got, want := refreshes[len(refreshes)-1].SequenceVersion, sequences[0].Version; got != want {
		h.t.Errorf("the newest refresh of %s is for version %d, the sequence has %d", user, got, want)
	}
}

// committed returns how many messages the consumer group has committed.
func (h *harness) committed() int64 {
	h.t.Helper()
	return h.servers.Committed(DefaultGroup, h.topics.Interactions)
}

func header(m kafka.Message, key string) string {
	at := slices.IndexFunc(m.Headers, func(h kafka.Header) bool { return h.Key == key })
	if at < 0 {
		return ""
	}
	return string(m.Headers[at].Value)
}
