package inference

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// harness is the environment of a Worker: Kafka, Redis and models.
type harness struct {
	t       *testing.T
	servers *embeddedtest.Servers
	rdb     *redis.Client
	topics  stream.Topics
	store   *sessions.Store
	models  *fakeModels
	events  int // appended so far
}

func TestMain(m *testing.M) { embeddedtest.Main(m) }

func newHarness(t *testing.T) *harness {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &harness{t: t, servers: servers, rdb: rdb, topics: stream.DefaultTopics(), store: store, models: &fakeModels{}}
}

// running is a Worker whose Run has been called.
type running struct {
	*Worker
	*embeddedtest.Service
}

func (h *harness) run(change ...func(*Config)) *running {
	cfg := Config{
		Kafka:      h.kafka(),
		PollModels: time.Millisecond,
		Logger:     slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	w := New(cfg, h.models, h.store)
	return &running{Worker: w, Service: embeddedtest.Run(h.t, w.Run)}
}

func (h *harness) kafka() stream.Cluster {
	return h.servers.Cluster()
}

func (h *harness) eventually(condition func() string) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, condition)
}

// awaitCount waits until a count is at least n.
func (h *harness) awaitCount(r *running, what string, n int64, count func(Stats) int64) {
	h.t.Helper()
	h.eventually(func() string {
		if s := r.Stats(); count(s) < n {
			return fmt.Sprintf("%s: want %d, got %+v", what, n, s)
		}
		return ""
	})
}

func (h *harness) awaitWritten(r *running, n int64) {
	h.t.Helper()
	h.awaitCount(r, "users written", n, func(s Stats) int64 { return s.Written })
}

// appendEvents appends items to the sequence of a user and returns the refresh.
func (h *harness) appendEvents(user string, items ...string) kafka.Message {
	h.t.Helper()
	batch := sessions.UserEvents{User: user}
	for _, item := range items {
		h.events++
		batch.Events = append(batch.Events, event.Event{
			ID: fmt.Sprint("e", h.events), User: user, Item: item, Type: event.DefaultType,
			Time: time.UnixMilli(1_700_000_000_000 + int64(h.events)),
		})
	}
	appended, err := h.store.Append(h.t.Context(), []sessions.UserEvents{batch})
	if err != nil {
		h.t.Fatal(err)
	}
	refresh := stream.Refresh{User: user, SequenceVersion: appended[0].Version, ProducedAt: []int64{int64(h.events)}}
	m, err := refresh.Message()
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *harness) produce(messages ...kafka.Message) {
	h.t.Helper()
	w := stream.NewWriter(h.kafka(), h.topics.Refreshes)
	defer w.Close()
	if err := w.WriteMessages(h.t.Context(), messages...); err != nil {
		h.t.Fatal(err)
	}
}

// wantList checks the stored list of a user: the fake model recommends the single item
// "VERSION:SEQUENCE".
func (h *harness) wantList(user, want string) userstate.List {
	h.t.Helper()
	recs, err := h.store.Lists(h.t.Context(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(recs[0].Items) != 1 || recs[0].Items[0].Item != want {
		h.t.Errorf("the list of %s is %v, want %q", user, recs[0].Items, want)
	}
	return recs[0]
}

// committed returns how many messages the consumer group has committed.
func (h *harness) committed() int64 {
	h.t.Helper()
	return h.servers.Committed(DefaultGroup, h.topics.Refreshes)
}

func (h *harness) awaitCommitted(want int64) {
	h.t.Helper()
	h.eventually(func() string {
		if n := h.committed(); n != want {
			return fmt.Sprintf("%d messages are committed, want %d", n, want)
		}
		return ""
	})
}

// countDeadLetters returns the number of records in the dead-letter topic.
func (h *harness) countDeadLetters() int64 {
	h.t.Helper()
	var n int64
	for _, end := range h.servers.Ends(h.topics.DeadLetters) {
		n += end
	}
	return n
}

// deadLetter returns the single dead letter.
func (h *harness) deadLetter() kafka.Message {
	h.t.Helper()
	if n := h.countDeadLetters(); n != 1 {
		h.t.Fatalf("got %d dead letters, want 1", n)
	}
	return h.servers.Messages(h.topics.DeadLetters)[0]
}

func header(m kafka.Message, key string) string {
	at := slices.IndexFunc(m.Headers, func(h kafka.Header) bool { return h.Key == key })
	if at < 0 {
		return ""
	}
	return string(m.Headers[at].Value)
}

// fakeModels publishes versions and makes a fakeGenerator of each.
type fakeModels struct {
	mu          sync.Mutex
	shares      []registry.Share
	polls       int                // calls of Serving
	loads       []string           // versions, in order
	broken      map[string]bool    // fail to load
	empty       map[string]bool    // generate empty lists
	scores      map[string]float64 // default: 1
	generators  []*fakeGenerator
	hook        func(context.Context, []Request) error // called by Generate, possibly concurrently
	concurrency int                                    // of Generate; 0: 1
}

func (m *fakeModels) publish(version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = []registry.Share{{Version: version, Percent: 100}}
}

// split sets shares such as "v1:90 v2:10".
func (m *fakeModels) split(t *testing.T, shares string) {
	t.Helper()
	parsed, err := registry.ParseShares(strings.Fields(shares))
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = parsed
}

func (m *fakeModels) Serving(context.Context) ([]registry.Share, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polls++
	return m.shares, nil
}

func (m *fakeModels) Load(_ context.Context, version string) (Generator, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads = append(m.loads, version)
	if m.broken[version] {
		return nil, errors.New("no weights")
	}
	g := &fakeGenerator{models: m, version: version, score: 1}
	if score, odd := m.scores[version]; odd {
		g.score = score
	}
	m.generators = append(m.generators, g)
	return g, nil
}

func (m *fakeModels) loaded() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.loads)
}

// awaitPolls waits for n more polls for versions.
func (h *harness) awaitPolls(n int) {
	h.t.Helper()
	polls := func() int {
		h.models.mu.Lock()
		defer h.models.mu.Unlock()
		return h.models.polls
	}
	want := polls() + n
	h.eventually(func() string {
		if polls() < want {
			return "the Worker does not poll for models"
		}
		return ""
	})
}

func (h *harness) wantOpen(want ...string) {
	h.t.Helper()
	h.models.mu.Lock()
	defer h.models.mu.Unlock()
	var open []string
	for _, g := range h.models.generators {
		if !g.closed {
			open = append(open, g.version)
		}
	}
	if !slices.Equal(open, want) {
		h.t.Errorf("open models: %v, want %v", open, want)
	}
}

// wantSimilar waits until the similar items of apple are the wanted one.
func (h *harness) wantSimilar(want string) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, func() string {
		value, err := h.rdb.HGet(h.t.Context(), userstate.Keys{Prefix: recs.DefaultPrefix}.Similar(), "apple").Result()
		similar, decodeErr := userstate.DecodeSimilar([]byte(value))
		if err != nil || decodeErr != nil || len(similar) != 1 || similar[0].Item != want {
			return fmt.Sprintf("similar items of apple: %q (%v), want %s", value, err, want)
		}
		return ""
	})
}

type fakeGenerator struct {
	models  *fakeModels
	version string
	score   float64
	closed  bool
}

func (g *fakeGenerator) Version() string { return g.version }

func (g *fakeGenerator) Popular() []userstate.ScoredItem {
	return []userstate.ScoredItem{{Item: g.version + ":popular", Score: 1}, {Item: g.version + ":second", Score: .5}}
}

func (g *fakeGenerator) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return maps.All(map[string]userstate.SimilarItems{"apple": {{Item: g.version + ":similar", Score: 1}}})
}

func (g *fakeGenerator) Concurrency() int { return max(1, g.models.concurrency) }

func (g *fakeGenerator) Generate(ctx context.Context, requests []Request) (Generated, error) {
	g.models.mu.Lock()
	hook, score, closed := g.models.hook, g.score, g.closed
	g.models.mu.Unlock()
	if closed {
		return Generated{}, errors.New("use of a closed model")
	}
	if preloading := requests[0].User == ""; hook != nil && !preloading {
		if err := hook(ctx, requests); err != nil {
			return Generated{}, err
		}
	}
	lists := make([][]userstate.ScoredItem, len(requests))
	if g.models.empty[g.version] {
		return Generated{Lists: lists}, nil
	}
	for i, r := range requests {
		lists[i] = []userstate.ScoredItem{{Item: g.version + ":" + strings.Join(r.Items, " "), Score: score}}
	}
	return Generated{Lists: lists, Stages: []Stage{{Name: "network", Took: time.Microsecond}}}, nil
}

func (g *fakeGenerator) Close() error {
	g.models.mu.Lock()
	defer g.models.mu.Unlock()
	if g.closed {
		return errors.New("closed twice")
	}
	g.closed = true
	return nil
}
