package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/parallel"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
)

func TestRefreshesBecomeLists(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	reports := make(chan Written, 10)
	r := h.run(func(c *Config) { c.OnWritten = func(w Written) { reports <- w } })
	h.produce(h.appendEvents("ann", "apple", "beer"), h.appendEvents("bob", "bread"))
	h.awaitWritten(r, 2)
	h.produce(h.appendEvents("ann", "carrot"))
	h.awaitWritten(r, 3)
	h.awaitCommitted(3)
	r.Stop()

	ann := h.wantList("ann", "v1:apple beer carrot")
	bob := h.wantList("bob", "v1:bread")
	if ann.ModelVersion != "v1" || ann.SequenceVersion != 3 || ann.Source != userstate.SourceModel || ann.GeneratedAt.IsZero() {
		t.Errorf("got %+v, want model v1 and sequence version 3", ann)
	}
	if ann.RecID == "" || ann.RecID == bob.RecID {
		t.Errorf("the ids of the recommendations are %q and %q, want unique ones", ann.RecID, bob.RecID)
	}
	close(reports)
	got := make(map[string]int64) // production time of the event, by list
	for w := range reports {
		got[w.Recommendations.Items[0].Item] = w.ProducedAt[0].UnixMilli()
		if w.WrittenAt.Before(w.Recommendations.GeneratedAt) {
			t.Errorf("%+v: written before it was generated", w)
		}
		if from := "v1:" + strings.Join(w.Items, " "); from != w.Recommendations.Items[0].Item {
			t.Errorf("%+v: reported sequence is %v", w.Recommendations, w.Items)
		}
		if from := strings.TrimSuffix(w.Recommendations.Items[0].Item, " carrot"); from != w.Recommendations.Items[0].Item && w.Replaced.Items[0].Item != from {
			t.Errorf("the list that replaced %q reports that it replaced %+v", from, w.Replaced)
		}
	}
	want := map[string]int64{"v1:apple beer": 2, "v1:bread": 3, "v1:apple beer carrot": 4}
	for recommended, producedAt := range want {
		if got[recommended] != producedAt {
			t.Errorf("%q: reported production time %d, want %d", recommended, got[recommended], producedAt)
		}
	}
	if s := r.Stats(); s != (Stats{Read: 3, Generated: 3, Written: 3, Swaps: 1}) {
		t.Errorf("got %+v, want 3 refreshes written with the first model and nothing else", s)
	}
	h.wantOpen()
}

func TestUpToDateUsersAreSkipped(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	refresh := h.appendEvents("ann", "apple")
	h.produce(refresh)
	h.awaitWritten(r, 1)
	first := h.wantList("ann", "v1:apple")
	h.produce(refresh, h.appendEvents("no-events"))
	h.awaitCount(r, "users skipped", 2, func(s Stats) int64 { return s.Skipped })
	h.awaitCommitted(3)
	r.Stop()
	if again := h.wantList("ann", "v1:apple"); again.RecID != first.RecID {
		t.Error("a list that was up to date was written again")
	}
}

func TestWaitsForTheFirstModel(t *testing.T) {
	h := newHarness(t)
	r := h.run(func(c *Config) { c.MaxPending = 3 })
	const users = 10
	for u := range users {
		h.produce(h.appendEvents(fmt.Sprint("user-", u), "apple"))
	}
	read := func(s Stats) int64 { return s.Read }
	h.awaitCount(r, "refreshes read", 3, read)
	h.awaitPolls(20)
	if s := r.Stats(); s.Read != 3 {
		t.Errorf("got %+v, want fetching to pause at 3 waiting users", s)
	}
	if n := h.committed(); n != 0 {
		t.Errorf("%d messages are committed before there is a model", n)
	}

	h.models.publish("v1")
	h.awaitWritten(r, users)
	h.awaitCommitted(users)
	r.Stop()
	for u := range users {
		h.wantList(fmt.Sprint("user-", u), "v1:apple")
	}
}

func TestRefreshesOfAWaitingUserAreCoalesced(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	h.produce(h.appendEvents("ann", "beer"))
	h.produce(h.appendEvents("bob", "bread"), h.appendEvents("ann", "carrot"))
	h.awaitCount(r, "refreshes read", 4, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.awaitWritten(r, 2)
	h.awaitCommitted(4)
	r.Stop()
	h.wantList("ann", "v1:apple beer carrot")
	if s := r.Stats(); s.Coalesced != 2 || s.Generated != 2 {
		t.Errorf("got %+v, want 2 coalesced and 2 generated", s)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	h := newHarness(t)
	sizes := make(chan int, 100)
	h.models.hook = func(_ context.Context, requests []Request) error {
		sizes <- len(requests)
		return nil
	}
	r := h.run(func(c *Config) { c.MaxBatch = 4 })
	for u := range 10 {
		h.produce(h.appendEvents(fmt.Sprint("user-", u), "apple"))
	}
	h.awaitCount(r, "refreshes read", 10, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.awaitWritten(r, 10)
	r.Stop()
	for _, want := range []int{4, 4, 2} {
		if got := <-sizes; got != want {
			t.Errorf("a batch has %d users, want %d", got, want)
		}
	}
}

func TestBadRefreshIsDeadLettered(t *testing.T) {
	tests := map[string][]byte{
		"not JSON": []byte("\x00{"),
		"no user":  []byte("{}"),
		"too long": append([]byte(`{"user_id": "ann"}`), bytes.Repeat([]byte(" "), maxRefreshBytes)...),
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.models.publish("v1")
			r := h.run()
			h.produce(kafka.Message{Key: []byte("ann"), Value: value}, h.appendEvents("ann", "apple"))
			h.awaitWritten(r, 1)
			h.awaitCommitted(2)
			r.Stop()
			h.wantList("ann", "v1:apple")
			if m := h.deadLetter(); header(m, stream.HeaderReason) != ReasonBadRefresh || !bytes.Equal(m.Value, value) {
				t.Errorf("got %d bytes with headers %v, want the original's %d bytes and reason %s", len(m.Value), m.Headers, len(value), ReasonBadRefresh)
			}
			if s := r.Stats(); s.Failed != 1 {
				t.Errorf("got %+v, want 1 failed", s)
			}
		})
	}
}

func TestPoisonUserIsDeadLettered(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(_ context.Context, requests []Request) error {
		if slices.ContainsFunc(requests, func(r Request) bool { return r.User == "poison" }) {
			return errors.New("index out of range")
		}
		return nil
	}
	r := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	h.produce(h.appendEvents("poison", "arsenic"))
	h.produce(h.appendEvents("bob", "bread"))
	h.awaitCount(r, "refreshes read", 3, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.awaitWritten(r, 2)
	h.awaitCommitted(3)
	r.Stop()
	h.wantList("ann", "v1:apple")
	h.wantList("bob", "v1:bread")
	m := h.deadLetter()
	if header(m, stream.HeaderReason) != ReasonGenerateFailed || header(m, stream.HeaderKey) != "poison" {
		t.Errorf("got a dead letter of %q with headers %v, want that of the poison user and reason %s", header(m, stream.HeaderKey), m.Headers, ReasonGenerateFailed)
	}
	if s := r.Stats(); s.Generated != 2 || s.Failed != 1 {
		t.Errorf("got %+v, want 2 generated and 1 failed", s)
	}
}

func TestUnreadableSequenceIsDeadLettered(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	broken := []kafka.Message{h.appendEvents("broken", "apple"), h.appendEvents("other-type", "apple")}
	pipe := h.rdb.Pipeline()
	pipe.Set(t.Context(), "genrec:seq:{broken}", "not a sequence", 0)
	pipe.Del(t.Context(), "genrec:seq:{other-type}")
	pipe.SAdd(t.Context(), "genrec:seq:{other-type}", "member")
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := h.run()
	h.produce(append(broken, h.appendEvents("ann", "apple"))...)
	h.awaitWritten(r, 1)
	h.awaitCommitted(3)
	r.Stop()
	h.wantList("ann", "v1:apple")
	if s := r.Stats(); s.Failed != 2 || h.countDeadLetters() != 2 {
		t.Errorf("got %+v and %d dead letters, want one for each user with an unreadable sequence", s, h.countDeadLetters())
	}
}

func TestPanicIsIsolated(t *testing.T) {
	for name, loop := range map[string]func(n int, f func(i int)){
		"on the caller's goroutine": func(n int, f func(i int)) {
			for i := range n {
				f(i)
			}
		},
		"while preparing or fusing on all cores": func(n int, f func(i int)) {
			parallel.For(max(n, 2), func(i int) { f(min(i, n-1)) })
		},
	} {
		t.Run(name, func(t *testing.T) { panicForOneUser(t, loop) })
	}
}

func panicForOneUser(t *testing.T, loop func(n int, f func(i int))) {
	h := newHarness(t)
	h.models.hook = func(_ context.Context, requests []Request) error {
		loop(len(requests), func(i int) {
			if requests[i].User == "poison" {
				var none []int
				_ = none[len(requests)]
			}
		})
		return nil
	}
	h.models.publish("v1")
	r := h.run()
	h.produce(h.appendEvents("poison", "arsenic"))
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitWritten(r, 1)
	h.awaitCommitted(2)
	r.Stop()
	h.wantList("ann", "v1:apple")
	if m := h.deadLetter(); !strings.Contains(header(m, stream.HeaderDetail), "index out of range") || header(m, stream.HeaderKey) != "poison" {
		t.Errorf("got a dead letter of %q with headers %v, want the panic of the poison user", header(m, stream.HeaderKey), m.Headers)
	}
}

// A broken model must not dead-letter users one by one, either.
func TestModelThatFailsForConsecutiveUsersStopsTheWorker(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(context.Context, []Request) error { return errors.New("device lost") }
	h.models.publish("v1")
	r := h.run()
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	for n := int64(1); n < maxFailures; n++ {
		h.produce(h.appendEvents(fmt.Sprint("user-", n), "apple"))
		h.awaitCount(r, "dead-lettered users", n, func(s Stats) int64 { return s.Failed })
	}
	h.produce(h.appendEvents("ann", "apple"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "device lost") {
		t.Errorf("Run returned %v, want an error with the cause", err)
	}
	if n := h.countDeadLetters(); n != maxFailures-1 {
		t.Errorf("%d users were dead-lettered, want %d", n, maxFailures-1)
	}
}

// A model that fails for all users, because its GPU is lost for instance, must not dead-letter all
// refreshes of the topic.
func TestModelThatFailsForAllUsersStopsTheWorker(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(context.Context, []Request) error { return errors.New("device lost") }
	h.produce(h.appendEvents("ann", "apple"))
	h.produce(h.appendEvents("bob", "bread"))
	r := h.run()
	h.awaitCount(r, "refreshes read", 2, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	if err := r.Wait(); err == nil || !strings.Contains(err.Error(), "device lost") || !strings.Contains(err.Error(), `"v1"`) {
		t.Errorf("Run returned %v, want an error with the model and the cause", err)
	}
	if n := h.countDeadLetters(); n != 0 {
		t.Errorf("%d users were dead-lettered, want none", n)
	}

	h.models.hook = nil
	next := h.run()
	h.awaitWritten(next, 2)
	next.Stop()
	h.wantList("ann", "v1:apple")
	h.wantList("bob", "v1:bread")
}

func TestRunNeedsBrokers(t *testing.T) {
	if err := New(Config{}, nil, nil).Run(t.Context()); err == nil {
		t.Error("Run without brokers must fail")
	}
}

func TestTimesAreUTC(t *testing.T) {
	got := times([]int64{0, 1_500})
	want := []time.Time{time.Unix(0, 0).UTC(), time.Unix(1, 5e8).UTC()}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
