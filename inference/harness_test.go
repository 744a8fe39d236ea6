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

// harness is Kafka, Redis, models and everything else around a Worker.
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

// reach waits until a count reaches n.
func (h *harness) reach(r *running, what string, n int64, count func(Stats) int64) {
	h.t.Helper()
	h.eventually(func() string {
		if s := r.Stats(); count(s) < n {
			return fmt.Sprintf("%s: want %d, got %+v", what, n, s)
		}
		return ""
	})
}

func (h *harness) written(r *running, n int64) {
	h.t.Helper()
	h.reach(r, "users written", n, func(s Stats) int64 { return s.Written })
}

// see appends items to the sequence of a user and returns its refresh.
func (h *harness) see(user string, items ...string) kafka.Message {
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

// wantRecommended checks what is stored for a user: the fake model recommends
// "VERSION:ITEMS SEEN".
func (h *harness) wantRecommended(user, want string) userstate.List {
	h.t.Helper()
	recs, err := h.store.Lists(h.t.Context(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(recs[0].Items) != 1 || recs[0].Items[0].Item != want {
		h.t.Errorf("the recommendations of %s are %v, want %q", user, recs[0].Items, want)
	}
	return recs[0]
}

// committed returns how many messages the consumer group has committed.
func (h *harness) committed() int64 {
	h.t.Helper()
	return h.servers.Committed(DefaultGroup, h.topics.Refreshes)
}

func (h *harness) reachCommitted(want int64) {
	h.t.Helper()
	h.eventually(func() string {
		if n := h.committed(); n != want {
			return fmt.Sprintf("%d messages are committed, want %d", n, want)
		}
		return ""
	})
}

// buried returns how many dead letters there are.
func (h *harness) buried() int64 {
	h.t.Helper()
	var n int64
	for _, end := range h.servers.Ends(h.topics.DeadLetters) {
		n += end
	}
	return n
}

// deadLetter returns the only dead letter.
func (h *harness) deadLetter() kafka.Message {
	h.t.Helper()
	if n := h.buried(); n != 1 {
		h.t.Fatalf("there are %d dead letters, want 1", n)
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
	looks       int                // at what is to be served
	loads       []string           // versions, in order
	broken      map[string]bool    // do not load
	mute        map[string]bool    // recommend nothing
	scores      map[string]float64 // in place of 1
	generators  []*fakeGenerator
	hook        func(context.Context, []Request) error // before Generate answers, maybe several at once
	concurrency int                                    // of Generate; 0: 1
}

func (m *fakeModels) publish(version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = []registry.Share{{Version: version, Percent: 100}}
}

// split divides the users: "v1:90 v2:10".
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
	m.looks++
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

// awaitLooks returns after n more looks at what is to be served.
func (h *harness) awaitLooks(n int) {
	h.t.Helper()
	looks := func() int {
		h.models.mu.Lock()
		defer h.models.mu.Unlock()
		return h.models.looks
	}
	want := looks() + n
	h.eventually(func() string {
		if looks() < want {
			return "the Worker does not look for models"
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
		h.t.Errorf("the models %v are open, want %v", open, want)
	}
}

// wantNear waits for what is popular near apples, which is written beside the lists.
func (h *harness) wantNear(want string) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, func() string {
		value, err := h.rdb.HGet(h.t.Context(), userstate.Keys{Prefix: recs.DefaultPrefix}.Similar(), "apple").Result()
		near, unreadable := userstate.DecodeSimilar([]byte(value))
		if err != nil || unreadable != nil || len(near) != 1 || near[0].Item != want {
			return fmt.Sprintf("near apples there is %q (%v), want %s", value, err, want)
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

func (g *fakeGenerator) Near() iter.Seq2[string, userstate.SimilarItems] {
	return maps.All(map[string]userstate.SimilarItems{"apple": {{Item: g.version + ":near", Score: 1}}})
}

func (g *fakeGenerator) Concurrency() int { return max(1, g.models.concurrency) }

func (g *fakeGenerator) Generate(ctx context.Context, requests []Request) (Generated, error) {
	g.models.mu.Lock()
	hook, score, closed := g.models.hook, g.score, g.closed
	g.models.mu.Unlock()
	if closed {
		return Generated{}, errors.New("use of a closed model")
	}
	if warming := requests[0].User == ""; hook != nil && !warming {
		if err := hook(ctx, requests); err != nil {
			return Generated{}, err
		}
	}
	lists := make([][]userstate.ScoredItem, len(requests))
	if g.models.mute[g.version] {
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
