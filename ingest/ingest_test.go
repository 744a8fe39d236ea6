package ingest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/event"
	"genrec/sessions"
)

func TestEventsReachSequencesAndRefreshes(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.event("ann", "apple", 0), h.event("bob", "bread", 0), h.event("ann", "beer", 2))
	h.finished(r, 3)
	h.produce(h.event("ann", "carrot", 1)) // late
	h.finished(r, 4)
	r.Stop()

	h.wantItems("ann", "apple carrot beer")
	h.wantItems("bob", "bread")
	h.wantRefreshed("ann")
	h.wantRefreshed("bob")
	if s := r.Stats(); s.Appended != 4 || s.Duplicates != 0 || len(s.Dead) != 0 {
		t.Errorf("got %+v, want 4 appended and nothing else", s)
	}
	if n := h.committed(); n != 4 {
		t.Errorf("%d messages are committed, want 4", n)
	}
}

func TestRefreshesCarryProduceTimes(t *testing.T) {
	h := newHarness(t)
	h.produce(h.event("ann", "apple", 0), h.event("ann", "beer", 1))
	want := make(map[int64]int)
	for _, m := range h.messages(h.topics.Interactions) {
		want[m.Time.UnixMilli()]++
	}

	r := h.run()
	h.finished(r, 2)
	r.Stop()
	got := make(map[int64]int)
	for _, refresh := range h.refreshes("ann") {
		for _, ms := range refresh.ProducedAt {
			got[ms]++
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the refreshes have the times %v, the events %v", got, want)
	}
}

func TestDuplicatesChangeNothing(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.event("ann", "apple", 0), h.event("ann", "beer", 1), h.event("ann", "apple", 0))
	h.finished(r, 3)
	before := len(h.refreshes("ann"))
	h.produce(h.event("ann", "beer", 1))
	h.finished(r, 4)
	r.Stop()

	h.wantItems("ann", "apple beer")
	h.wantRefreshed("ann")
	if after := len(h.refreshes("ann")); after != before+1 {
		t.Errorf("there are %d refreshes after a batch of duplicates, want %d: after a crash, a duplicate may be what causes the refresh", after, before+1)
	}
	if s := r.Stats(); s.Appended != 2 || s.Duplicates != 2 {
		t.Errorf("got %+v, want 2 appended and 2 duplicates", s)
	}
}

func TestInvalidEventsBecomeDeadLetters(t *testing.T) {
	h := newHarness(t)
	field := func(name, raw string) []byte {
		good := string(h.event("ann", "apple", 0).Value)
		at := strings.Index(good, `"`+name+`":`) + len(name) + 3
		end := at + strings.IndexAny(good[at:], ",}")
		return []byte(good[:at] + raw + good[end:])
	}
	bad := map[event.Reason][]byte{
		event.TooLarge:     bytes.Repeat([]byte("x"), 1_000_000),
		event.NotJSON:      []byte("\x00\xff{"),
		event.MissingField: []byte(`{}`),
		event.BadID:        field("item_id", `"a\u0000"`),
		event.BadTimestamp: field("timestamp", `"yesterday"`),
		event.UnknownType:  field("type", `"stare"`),
		event.BadContext:   field("type", `"view", "context": 1`),
	}
	var (
		messages  []kafka.Message
		neighbors []string
	)
	for reason, value := range bad {
		item := fmt.Sprint("item-", len(neighbors))
		messages = append(messages,
			kafka.Message{Key: []byte("ann"), Value: value, Headers: []kafka.Header{{Key: "expected", Value: []byte(reason)}}},
			h.event("ann", item, len(neighbors)))
		neighbors = append(neighbors, item)
	}

	r := h.run()
	h.produce(messages...)
	h.finished(r, int64(len(messages)))
	r.Stop()

	h.wantItems("ann", strings.Join(neighbors, " "))
	h.wantRefreshed("ann")
	sources := make(map[string]kafka.Message)
	for _, m := range h.messages(h.topics.Interactions) {
		sources[fmt.Sprint(m.Partition, " ", m.Offset)] = m
	}
	dead := h.messages(h.topics.DeadLetters)
	if len(dead) != len(bad) {
		t.Fatalf("there are %d dead letters, want %d", len(dead), len(bad))
	}
	for _, m := range dead {
		reason := header(m, "genrec-reason")
		if want := header(m, "expected"); reason != want {
			t.Errorf("got reason %q, want %q", reason, want)
		}
		if value := bad[event.Reason(reason)]; !bytes.Equal(m.Value, value) || header(m, "genrec-key") != "ann" {
			t.Errorf("%s: got key %q and %d bytes of value, want the original's bytes, %d", reason, header(m, "genrec-key"), len(m.Value), len(value))
		}
		if header(m, "genrec-detail") == "" || header(m, "genrec-topic") != h.topics.Interactions {
			t.Errorf("%s: the headers must have a detail and the original's topic: %v", reason, m.Headers)
		}
		source := sources[header(m, "genrec-partition")+" "+header(m, "genrec-offset")]
		if !bytes.Equal(source.Value, m.Value) {
			t.Errorf("%s: the headers point to another message than the original", reason)
		}
	}
	for reason, n := range r.Stats().Dead {
		if n != 1 || bad[reason] == nil {
			t.Errorf("Stats counts %d dead of reason %s, want 1", n, reason)
		}
	}
}

func TestEventsOfUnreadableSequenceAreDeadLettered(t *testing.T) {
	h := newHarness(t)
	broken := "not written by a Store, and long enough to be taken for a sequence"
	if err := h.rdb.Set(t.Context(), "genrec:seq:{broken}", broken, 0).Err(); err != nil {
		t.Fatal(err)
	}
	r := h.run()
	h.produce(h.event("broken", "apple", 0), h.event("ann", "apple", 0), h.event("broken", "beer", 1))
	h.finished(r, 3)
	r.Stop()
	h.wantItems("ann", "apple")
	h.wantRefreshed("ann")
	dead := h.messages(h.topics.DeadLetters)
	if len(dead) != 2 || r.Stats().Dead[ReasonBadSequence] != 2 {
		t.Fatalf("got %+v and %d dead letters, want both events of the unreadable sequence", r.Stats(), len(dead))
	}
	for _, m := range dead {
		if reason := header(m, "genrec-reason"); reason != string(ReasonBadSequence) {
			t.Errorf("got a dead letter with reason %q", reason)
		}
	}
}

// Messages that Kafka rejects must not hold up the events after them.
func TestRejectedMessagesAreDropped(t *testing.T) {
	h := newHarness(t)
	for _, topic := range []string{h.topics.Refreshes, h.topics.DeadLetters} {
		h.servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.InvalidRecord, Count: -1})
	}
	h.produce(h.event("ann", "apple", 0), kafka.Message{Key: []byte("bob"), Value: []byte("{")}, h.event("cid", "beer", 0))
	r := h.run()
	h.finished(r, 3)
	r.Stop()
	h.wantItems("ann", "apple")
	h.wantItems("cid", "beer")
	dead := r.Stats().Dead
	if dead[ReasonRefreshRejected] != 2 || dead[ReasonDeadLetterRejected] != 1 || dead[event.NotJSON] != 1 {
		t.Errorf("got %+v, want two rejected refreshes and a rejected dead letter", dead)
	}
	if n := h.committed(); n != 3 {
		t.Errorf("%d messages are committed, want 3", n)
	}
}

// recorded counts the Append calls with events of each user.
type recorded struct {
	Sessions
	mu    sync.Mutex
	calls map[string]int
}

func (r *recorded) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	r.mu.Lock()
	for _, b := range batch {
		r.calls[b.User]++
	}
	r.mu.Unlock()
	return r.Sessions.Append(ctx, batch)
}

// A batch is appended once, however many of its sequences are unreadable.
func TestUnreadableSequencesCauseNoRetry(t *testing.T) {
	h := newHarness(t)
	const users, broken = 40, 10
	var messages []kafka.Message
	for i := range users {
		user := fmt.Sprint("user-", i)
		messages = append(messages, h.event(user, "apple", 0))
		if i < broken {
			if err := h.rdb.Set(t.Context(), "genrec:seq:{"+user+"}", "not written by a Store, and long enough to be taken for a sequence", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.produce(messages...)
	calls := &recorded{Sessions: h.store, calls: make(map[string]int)}
	r := h.runWithLinger(Config{}, calls, 100*time.Millisecond)
	h.finished(r, users)
	r.Stop()
	if n := len(h.messages(h.topics.DeadLetters)); n != broken || r.Stats().Appended != users-broken {
		t.Errorf("got %+v and %d dead letters, want %d", r.Stats(), n, broken)
	}
	for i := range users {
		user := fmt.Sprint("user-", i)
		if n := calls.calls[user]; n != 1 {
			t.Errorf("events of %s were appended %d times, want once", user, n)
		}
		if i >= broken {
			h.wantItems(user, "apple")
			h.wantRefreshed(user)
		}
	}
}

func TestBatchesLargerThanTheLimits(t *testing.T) {
	h := newHarness(t)
	const users, each = 40, 30 // more messages than DefaultMaxBatch
	var messages []kafka.Message
	for nth := range each {
		for user := range users {
			messages = append(messages, h.event(fmt.Sprint("user-", user), fmt.Sprint("i", nth), nth))
		}
	}
	h.produce(messages...)
	r := h.run()
	h.finished(r, users*each)
	r.Stop()

	var items []string
	for nth := range each {
		items = append(items, fmt.Sprint("i", nth))
	}
	for user := range users {
		h.wantItems(fmt.Sprint("user-", user), strings.Join(items, " "))
		h.wantRefreshed(fmt.Sprint("user-", user))
	}
}

func TestRunNeedsBrokers(t *testing.T) {
	if err := New(Config{}, nil).Run(t.Context()); err == nil {
		t.Error("Run without brokers must fail")
	}
}
