package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// environment has the servers and services of a scenario.
type environment struct {
	t        *testing.T
	servers  *embeddedtest.Servers
	topics   stream.Topics
	store    *sessions.Store
	models   *models
	services map[string][]*embeddedtest.Service // by kind, in the order in which they started
	tracing  trace.TracerProvider               // of services that are started later
}

// window is so small that a scenario can fill it.
const window = 5

const day, clock = "2026-03-01", "15:04:05"

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{Window: window})
	if err != nil {
		t.Fatal(err)
	}
	env := &environment{
		t: t, servers: servers, topics: stream.DefaultTopics(), store: store,
		models: &models{}, services: make(map[string][]*embeddedtest.Service),
	}
	t.Cleanup(func() {
		for kind, running := range env.services {
			for range running {
				env.stop(kind)
			}
		}
	})
	return env
}

func (env *environment) start(kind string) {
	env.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var service *embeddedtest.Service
	switch kind {
	case "ingest":
		i := ingest.New(ingest.Config{Kafka: env.servers.Cluster(), Tracing: env.tracing, Logger: quiet}, env.store)
		service = embeddedtest.Run(env.t, i.Run)
	case "infer":
		worker := inference.New(inference.Config{
			Kafka: env.servers.Cluster(), PollModels: time.Millisecond, Tracing: env.tracing, Logger: quiet,
		}, env.models, env.store)
		service = embeddedtest.Run(env.t, worker.Run)
	default:
		env.t.Fatalf("start %q: want ingest or infer", kind)
	}
	env.services[kind] = append(env.services[kind], service)
	env.awaitMembers(kind)
}

func (env *environment) stop(kind string) {
	env.t.Helper()
	running := env.services[kind]
	if len(running) == 0 {
		env.t.Fatalf("stop %q: none is running", kind)
	}
	env.services[kind] = running[1:]
	running[0].Stop()
}

// awaitMembers waits until all running services are members of their consumer group.
func (env *environment) awaitMembers(kind string) {
	env.t.Helper()
	embeddedtest.Eventually(env.t, func() string {
		if got, want := env.servers.Members(groups[kind]), len(env.services[kind]); got != want {
			return fmt.Sprintf("%d of %d %s processes have joined", got, want, kind)
		}
		return ""
	})
}

var groups = map[string]string{"ingest": ingest.DefaultGroup, "infer": inference.DefaultGroup}

// redeliver resets the committed offsets of ingest.
func (env *environment) redeliver() {
	env.t.Helper()
	if len(env.services["ingest"]) > 0 {
		env.t.Fatal("redeliver: stop ingest first")
	}
	first := make([]kafka.OffsetCommit, len(env.servers.Ends(env.topics.Interactions)))
	for partition := range first {
		first[partition].Partition = partition
	}
	_, err := env.servers.Client().OffsetCommit(env.t.Context(), &kafka.OffsetCommitRequest{
		GroupID: ingest.DefaultGroup, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{env.topics.Interactions: first},
	})
	if err != nil {
		env.t.Fatal(err)
	}
	if n := env.servers.Committed(ingest.DefaultGroup, env.topics.Interactions); n != 0 {
		env.t.Fatalf("redeliver: %d events are still committed", n)
	}
}

func (env *environment) redis(what string) {
	env.t.Helper()
	switch what {
	case "down":
		env.servers.StopRedis()
	case "up":
		env.servers.RestartRedis()
	default:
		env.t.Fatalf("redis %q: want down or up", what)
	}
}

func (env *environment) send(lines []string) {
	env.t.Helper()
	messages := make([]kafka.Message, len(lines))
	for i, line := range lines {
		if raw, is := strings.CutPrefix(line, "raw "); is {
			messages[i] = kafka.Message{Value: []byte(raw)}
			continue
		}
		fields := strings.Fields(line)
		if len(fields) == 4 {
			fields = append(fields, "")
		}
		if len(fields) != 5 {
			env.t.Fatalf("send %q: want an id, a time, a user, an item and optionally a rec_id", line)
		}
		at, err := time.Parse(time.DateOnly+" "+clock, day+" "+fields[1])
		if err != nil {
			env.t.Fatalf("send %q: %v", line, err)
		}
		value, err := json.Marshal(event.Event{ID: fields[0], Time: at, User: fields[2], Item: fields[3], Type: event.DefaultType, RecID: fields[4]})
		if err != nil {
			env.t.Fatal(err)
		}
		messages[i] = kafka.Message{Key: []byte(fields[2]), Value: value}
	}
	writer := stream.NewWriter(env.servers.Cluster(), env.topics.Interactions)
	defer writer.Close()
	if err := stream.Publish(env.t.Context(), slog.New(slog.DiscardHandler), writer, messages...); err != nil {
		env.t.Fatal(err)
	}
}

// settle waits until the running services have no lag.
func (env *environment) settle() {
	env.t.Helper()
	for _, service := range []struct{ kind, topic string }{{"ingest", env.topics.Interactions}, {"infer", env.topics.Refreshes}} {
		if len(env.services[service.kind]) == 0 {
			continue
		}
		embeddedtest.Eventually(env.t, func() string {
			var end int64
			for _, n := range env.servers.Ends(service.topic) {
				end += n
			}
			if n := env.servers.Committed(groups[service.kind], service.topic); n != end {
				return fmt.Sprintf("%s has finished %d of %d messages", service.kind, n, end)
			}
			return ""
		})
	}
}

func (env *environment) query(verb, object string) string {
	env.t.Helper()
	env.settle()
	switch verb {
	case "sequence":
		return env.sequence(object)
	case "refreshed":
		return env.refreshed(object)
	case "recommendations":
		return env.recommendations(object)
	case "hits":
		return env.hits(object)
	case "dead":
		return env.deadLetters()
	}
	env.t.Fatalf("unknown query %q", verb)
	return ""
}

func (env *environment) read(user string) sessions.Sequence {
	env.t.Helper()
	sequences, err := env.store.Sequences(env.t.Context(), []string{user})
	if err != nil {
		env.t.Fatal(err)
	}
	return sequences[0]
}

func (env *environment) sequence(user string) string {
	env.t.Helper()
	var b strings.Builder
	for _, i := range env.read(user).Interactions {
		fmt.Fprintln(&b, i.EventID, i.Time.Format(clock), i.Item)
	}
	return b.String()
}

func (env *environment) refreshed(user string) string {
	env.t.Helper()
	newest := "never\n"
	for _, m := range env.servers.Messages(env.topics.Refreshes) {
		r, err := stream.DecodeRefresh(m.Value)
		if err != nil {
			env.t.Fatal(err)
		}
		if r.User == user {
			newest = fmt.Sprintf("version %d\n", r.SequenceVersion)
		}
	}
	return newest
}

func (env *environment) recommendations(user string) string {
	env.t.Helper()
	all, err := env.store.Lists(env.t.Context(), []string{user})
	if err != nil {
		env.t.Fatal(err)
	}
	r := all[0]
	if r.RecID == "" {
		return "none\n"
	}
	age := "up to date"
	if r.SequenceVersion != env.read(user).Version {
		age = "of an older sequence"
	}
	var items []string
	for _, item := range r.Items {
		items = append(items, item.Item)
	}
	return fmt.Sprintf("model %s, %s: %s\n", r.ModelVersion, age, strings.Join(items, " "))
}

// hits returns the hit counts of a version in Redis, which are complete when infer has stopped.
func (env *environment) hits(version string) string {
	env.t.Helper()
	now := time.Now()
	daily, users, err := env.store.DailyHits(env.t.Context(), version, []string{sessions.Day(now.AddDate(0, 0, -1)), sessions.Day(now)})
	if err != nil {
		env.t.Fatal(err)
	}
	var hits, interactions int64
	for _, o := range daily {
		hits += o.Hits
		interactions += o.Interactions
	}
	noun := "users"
	if users == 1 {
		noun = "user"
	}
	return fmt.Sprintf("%d of %d interactions, %d %s\n", hits, interactions, users, noun)
}

func (env *environment) deadLetters() string {
	env.t.Helper()
	var lines []string
	for _, m := range env.servers.Messages(env.topics.DeadLetters) {
		at := slices.IndexFunc(m.Headers, func(h kafka.Header) bool { return h.Key == stream.HeaderReason })
		if at < 0 {
			env.t.Fatalf("the dead letter %s has no reason", m.Value)
		}
		value := m.Value
		if r, err := stream.DecodeRefresh(value); err == nil && r.SequenceVersion > 0 {
			value = fmt.Appendf(nil, "the refresh of %s", r.User)
		}
		lines = append(lines, fmt.Sprintf("%s: %s\n", m.Headers[at].Value, value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// models is a fake registry of models.
type models struct {
	mu     sync.Mutex
	shares []registry.Share
}

func (m *models) serve(shares []registry.Share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = shares
}

func (m *models) Serving(context.Context) ([]registry.Share, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shares, nil
}

func (m *models) Load(_ context.Context, version string) (inference.Generator, error) {
	return similarModel(version), nil
}

// similarModel is a fake model that recommends one similar item for each item of the user, the newest
// first.
type similarModel string

func (l similarModel) Version() string { return string(l) }

func (l similarModel) Popular() []userstate.ScoredItem {
	return []userstate.ScoredItem{{Item: "bestseller", Score: 1}}
}

func (l similarModel) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return func(func(string, userstate.SimilarItems) bool) {}
}

func (l similarModel) Concurrency() int { return 2 }

func (l similarModel) Generate(_ context.Context, requests []inference.Request) (inference.Generated, error) {
	lists := make([][]userstate.ScoredItem, len(requests))
	for i, r := range requests {
		if slices.Contains(r.Items, "poison") {
			return inference.Generated{}, errors.New("poison")
		}
		for j, item := range slices.Backward(r.Items) {
			lists[i] = append(lists[i], userstate.ScoredItem{Item: "like-" + item, Score: float64(j + 1)})
		}
	}
	return inference.Generated{Lists: lists}, nil
}

func (l similarModel) Close() error { return nil }
