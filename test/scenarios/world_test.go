package scenarios

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// world is the stream of one scenario.
type world struct {
	t        *testing.T
	servers  *embeddedtest.Servers
	topics   stream.Topics
	store    *sessions.Store
	models   *models
	services map[string][]*embeddedtest.Service // by kind, in the order in which they started
	tracing  trace.TracerProvider               // of services that start from then on
}

// window is small, so that a story can fill it.
const window = 5

const day, clock = "2026-03-01", "15:04:05"

func newWorld(t *testing.T) *world {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{Window: window})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, servers: servers, topics: stream.DefaultTopics(), store: store,
		models: &models{}, services: make(map[string][]*embeddedtest.Service),
	}
	t.Cleanup(func() {
		for kind, running := range w.services {
			for range running {
				w.stop(kind)
			}
		}
	})
	return w
}

func (w *world) start(kind string) {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var service *embeddedtest.Service
	switch kind {
	case "ingest":
		i := ingest.New(ingest.Config{Kafka: w.servers.Cluster(), Tracing: w.tracing, Logger: quiet}, w.store)
		service = embeddedtest.Run(w.t, i.Run)
	case "infer":
		worker := inference.New(inference.Config{
			Kafka: w.servers.Cluster(), PollModels: time.Millisecond, Tracing: w.tracing, Logger: quiet,
		}, w.models, w.store)
		service = embeddedtest.Run(w.t, worker.Run)
	default:
		w.t.Fatalf("start %q: what is it?", kind)
	}
	w.services[kind] = append(w.services[kind], service)
	w.awaitMembers(kind)
}

func (w *world) stop(kind string) {
	w.t.Helper()
	running := w.services[kind]
	if len(running) == 0 {
		w.t.Fatalf("stop %q: none runs", kind)
	}
	w.services[kind] = running[1:]
	running[0].Stop()
}

// awaitMembers waits until all that run have their share of the work.
func (w *world) awaitMembers(kind string) {
	w.t.Helper()
	embeddedtest.Eventually(w.t, func() string {
		if got, want := w.servers.Members(groups[kind]), len(w.services[kind]); got != want {
			return fmt.Sprintf("%d of %d %s take part", got, want, kind)
		}
		return ""
	})
}

var groups = map[string]string{"ingest": ingest.DefaultGroup, "infer": inference.DefaultGroup}

// redeliver forgets what ingest has committed.
func (w *world) redeliver() {
	w.t.Helper()
	if len(w.services["ingest"]) > 0 {
		w.t.Fatal("redeliver: stop ingest first")
	}
	first := make([]kafka.OffsetCommit, len(w.servers.Ends(w.topics.Interactions)))
	for partition := range first {
		first[partition].Partition = partition
	}
	_, err := w.servers.Client().OffsetCommit(w.t.Context(), &kafka.OffsetCommitRequest{
		GroupID: ingest.DefaultGroup, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{w.topics.Interactions: first},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if n := w.servers.Committed(ingest.DefaultGroup, w.topics.Interactions); n != 0 {
		w.t.Fatalf("redeliver: %d events stay committed", n)
	}
}

func (w *world) redis(what string) {
	w.t.Helper()
	switch what {
	case "away":
		w.servers.StopRedis()
	case "back":
		w.servers.RestartRedis()
	default:
		w.t.Fatalf("redis %q: away or back", what)
	}
}

func (w *world) send(lines []string) {
	w.t.Helper()
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
			w.t.Fatalf("send %q: want an id, a time, a user, an item and perhaps a rec_id", line)
		}
		at, err := time.Parse(time.DateOnly+" "+clock, day+" "+fields[1])
		if err != nil {
			w.t.Fatalf("send %q: %v", line, err)
		}
		value, err := json.Marshal(event.Event{ID: fields[0], Time: at, User: fields[2], Item: fields[3], Type: event.DefaultType, RecID: fields[4]})
		if err != nil {
			w.t.Fatal(err)
		}
		messages[i] = kafka.Message{Key: []byte(fields[2]), Value: value}
	}
	writer := stream.NewWriter(w.servers.Cluster(), w.topics.Interactions)
	defer writer.Close()
	if err := stream.Publish(w.t.Context(), slog.New(slog.DiscardHandler), writer, messages...); err != nil {
		w.t.Fatal(err)
	}
}

// settle waits until all that runs has finished what there is to do.
func (w *world) settle() {
	w.t.Helper()
	for _, work := range []struct{ kind, topic string }{{"ingest", w.topics.Interactions}, {"infer", w.topics.Refreshes}} {
		if len(w.services[work.kind]) == 0 {
			continue
		}
		embeddedtest.Eventually(w.t, func() string {
			var end int64
			for _, n := range w.servers.Ends(work.topic) {
				end += n
			}
			if n := w.servers.Committed(groups[work.kind], work.topic); n != end {
				return fmt.Sprintf("%s has finished %d of %d messages", work.kind, n, end)
			}
			return ""
		})
	}
}

func (w *world) ask(verb, object string) string {
	w.t.Helper()
	w.settle()
	switch verb {
	case "sequence":
		return w.sequence(object)
	case "refreshed":
		return w.refreshed(object)
	case "recommendations":
		return w.recommendations(object)
	case "hits":
		return w.hits(object)
	case "dead":
		return w.deadLetters()
	}
	w.t.Fatalf("unknown question %q", verb)
	return ""
}

func (w *world) read(user string) sessions.Sequence {
	w.t.Helper()
	sequences, err := w.store.Sequences(w.t.Context(), []string{user})
	if err != nil {
		w.t.Fatal(err)
	}
	return sequences[0]
}

func (w *world) sequence(user string) string {
	w.t.Helper()
	var b strings.Builder
	for _, i := range w.read(user).Interactions {
		fmt.Fprintln(&b, i.EventID, i.Time.Format(clock), i.Item)
	}
	return b.String()
}

func (w *world) refreshed(user string) string {
	w.t.Helper()
	newest := "never\n"
	for _, m := range w.servers.Messages(w.topics.Refreshes) {
		r, err := stream.DecodeRefresh(m.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.User == user {
			newest = fmt.Sprintf("version %d\n", r.SequenceVersion)
		}
	}
	return newest
}

func (w *world) recommendations(user string) string {
	w.t.Helper()
	all, err := w.store.Lists(w.t.Context(), []string{user})
	if err != nil {
		w.t.Fatal(err)
	}
	r := all[0]
	if r.RecID == "" {
		return "none\n"
	}
	age := "up to date"
	if r.SequenceVersion != w.read(user).Version {
		age = "of an older sequence"
	}
	var items []string
	for _, item := range r.Items {
		items = append(items, item.Item)
	}
	return fmt.Sprintf("model %s, %s: %s\n", r.ModelVersion, age, strings.Join(items, " "))
}

// hits says what came of a version's recommendations, as far as infer has written it: all
// when it has stopped.
func (w *world) hits(version string) string {
	w.t.Helper()
	now := time.Now()
	outcomes, users, err := w.store.Outcomes(w.t.Context(), version, []string{sessions.Day(now.AddDate(0, 0, -1)), sessions.Day(now)})
	if err != nil {
		w.t.Fatal(err)
	}
	var hits, interactions int64
	for _, o := range outcomes {
		hits += o.Hits
		interactions += o.Interactions
	}
	who := "users"
	if users == 1 {
		who = "user"
	}
	return fmt.Sprintf("%d of %d interactions, %d %s\n", hits, interactions, users, who)
}

func (w *world) deadLetters() string {
	w.t.Helper()
	var lines []string
	for _, m := range w.servers.Messages(w.topics.DeadLetters) {
		at := slices.IndexFunc(m.Headers, func(h kafka.Header) bool { return h.Key == stream.HeaderReason })
		if at < 0 {
			w.t.Fatalf("the dead letter %s has no reason", m.Value)
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
