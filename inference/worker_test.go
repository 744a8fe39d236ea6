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

func TestRefreshesBecomeRecommendations(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	reports := make(chan Written, 10)
	r := h.run(func(c *Config) { c.OnWritten = func(w Written) { reports <- w } })
	h.produce(h.see("ann", "apple", "beer"), h.see("bob", "bread"))
	h.written(r, 2)
	h.produce(h.see("ann", "carrot"))
	h.written(r, 3)
	h.reachCommitted(3)
	r.Stop()

	ann := h.wantRecommended("ann", "v1:apple beer carrot")
	bob := h.wantRecommended("bob", "v1:bread")
	if ann.ModelVersion != "v1" || ann.SequenceVersion != 3 || ann.Source != userstate.SourceModel || ann.GeneratedAt.IsZero() {
		t.Errorf("got %+v, want it to say that model v1 made it from sequence version 3", ann)
	}
	if ann.RecID == "" || ann.RecID == bob.RecID {
		t.Errorf("the ids of the recommendations are %q and %q, want unique ones", ann.RecID, bob.RecID)
	}
	close(reports)
	got := make(map[string]int64) // when the event was produced, by recommendations
	for w := range reports {
		got[w.Recommendations.Items[0].Item] = w.ProducedAt[0].UnixMilli()
		if w.WrittenAt.Before(w.Recommendations.GeneratedAt) {
			t.Errorf("%+v is reported as written before it was generated", w)
		}
		if from := "v1:" + strings.Join(w.Items, " "); from != w.Recommendations.Items[0].Item {
			t.Errorf("%+v is reported as made from %v", w.Recommendations, w.Items)
		}
		if from := strings.TrimSuffix(w.Recommendations.Items[0].Item, " carrot"); from != w.Recommendations.Items[0].Item && w.Replaced.Items[0].Item != from {
			t.Errorf("what replaced the list of %q is reported to have replaced %+v", from, w.Replaced)
		}
	}
	want := map[string]int64{"v1:apple beer": 2, "v1:bread": 3, "v1:apple beer carrot": 4}
	for recommended, producedAt := range want {
		if got[recommended] != producedAt {
			t.Errorf("the event behind %q is reported as produced at %d, want %d", recommended, got[recommended], producedAt)
		}
	}
	if s := r.Stats(); s != (Stats{Read: 3, Generated: 3, Written: 3, Swaps: 1}) {
		t.Errorf("got %+v, want 3 refreshes written by the first model and nothing else", s)
	}
	h.wantOpen()
}

func TestUpToDateUsersAreSkipped(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	refresh := h.see("ann", "apple")
	h.produce(refresh)
	h.written(r, 1)
	first := h.wantRecommended("ann", "v1:apple")
	h.produce(refresh, h.see("no-events"))
	h.reach(r, "users skipped", 2, func(s Stats) int64 { return s.Skipped })
	h.reachCommitted(3)
	r.Stop()
	if again := h.wantRecommended("ann", "v1:apple"); again.RecID != first.RecID {
		t.Error("recommendations that were up to date were written again")
	}
}

func TestWaitsForTheFirstModel(t *testing.T) {
	h := newHarness(t)
	r := h.run(func(c *Config) { c.MaxPending = 3 })
	const users = 10
	for u := range users {
		h.produce(h.see(fmt.Sprint("user-", u), "apple"))
	}
	read := func(s Stats) int64 { return s.Read }
	h.reach(r, "refreshes read", 3, read)
	h.awaitLooks(20)
	if s := r.Stats(); s.Read != 3 {
		t.Errorf("got %+v, want reading to pause at 3 waiting users", s)
	}
	if n := h.committed(); n != 0 {
		t.Errorf("%d messages are committed before there is a model", n)
	}

	h.models.publish("v1")
	h.written(r, users)
	h.reachCommitted(users)
	r.Stop()
	for u := range users {
		h.wantRecommended(fmt.Sprint("user-", u), "v1:apple")
	}
}

func TestRefreshesOfAWaitingUserAreCoalesced(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.see("ann", "apple"))
	h.produce(h.see("ann", "beer"))
	h.produce(h.see("bob", "bread"), h.see("ann", "carrot"))
	h.reach(r, "refreshes read", 4, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.written(r, 2)
	h.reachCommitted(4)
	r.Stop()
	h.wantRecommended("ann", "v1:apple beer carrot")
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
		h.produce(h.see(fmt.Sprint("user-", u), "apple"))
	}
	h.reach(r, "refreshes read", 10, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.written(r, 10)
	r.Stop()
	for _, want := range []int{4, 4, 2} {
		if got := <-sizes; got != want {
			t.Errorf("a batch has %d users, want %d", got, want)
		}
	}
}

func TestBadRefreshIsBuried(t *testing.T) {
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
			h.produce(kafka.Message{Key: []byte("ann"), Value: value}, h.see("ann", "apple"))
			h.written(r, 1)
			h.reachCommitted(2)
			r.Stop()
			h.wantRecommended("ann", "v1:apple")
			if m := h.deadLetter(); header(m, stream.HeaderReason) != ReasonBadRefresh || !bytes.Equal(m.Value, value) {
				t.Errorf("got %d bytes with headers %v, want the original's %d bytes and reason %s", len(m.Value), m.Headers, len(value), ReasonBadRefresh)
			}
			if s := r.Stats(); s.Failed != 1 {
				t.Errorf("got %+v, want 1 failed", s)
			}
		})
	}
}

func TestPoisonUserIsBuried(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(_ context.Context, requests []Request) error {
		if slices.ContainsFunc(requests, func(r Request) bool { return r.User == "poison" }) {
			return errors.New("index out of range")
		}
		return nil
	}
	r := h.run()
	h.produce(h.see("ann", "apple"))
	h.produce(h.see("poison", "arsenic"))
	h.produce(h.see("bob", "bread"))
	h.reach(r, "refreshes read", 3, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	h.written(r, 2)
	h.reachCommitted(3)
	r.Stop()
	h.wantRecommended("ann", "v1:apple")
	h.wantRecommended("bob", "v1:bread")
	m := h.deadLetter()
	if header(m, stream.HeaderReason) != ReasonGenerateFailed || header(m, stream.HeaderKey) != "poison" {
		t.Errorf("got a dead letter of %q with headers %v, want that of the poison user and reason %s", header(m, stream.HeaderKey), m.Headers, ReasonGenerateFailed)
	}
	if s := r.Stats(); s.Generated != 2 || s.Failed != 1 {
		t.Errorf("got %+v, want 2 generated and 1 failed", s)
	}
}

func TestUnreadableSequenceIsBuried(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	broken := []kafka.Message{h.see("broken", "apple"), h.see("other-type", "apple")}
	pipe := h.rdb.Pipeline()
	pipe.Set(t.Context(), "genrec:seq:{broken}", "not what a Store writes", 0)
	pipe.Del(t.Context(), "genrec:seq:{other-type}")
	pipe.SAdd(t.Context(), "genrec:seq:{other-type}", "member")
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := h.run()
	h.produce(append(broken, h.see("ann", "apple"))...)
	h.written(r, 1)
	h.reachCommitted(3)
	r.Stop()
	h.wantRecommended("ann", "v1:apple")
	if s := r.Stats(); s.Failed != 2 || h.buried() != 2 {
		t.Errorf("got %+v and %d dead letters, want one for each user whose sequence cannot be read", s, h.buried())
	}
}

func TestPanicIsTheUsersFailure(t *testing.T) {
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
	h.produce(h.see("poison", "arsenic"))
	h.produce(h.see("ann", "apple"))
	h.written(r, 1)
	h.reachCommitted(2)
	r.Stop()
	h.wantRecommended("ann", "v1:apple")
	if m := h.deadLetter(); !strings.Contains(header(m, stream.HeaderDetail), "index out of range") || header(m, stream.HeaderKey) != "poison" {
		t.Errorf("got a dead letter of %q with headers %v, want the panic of the poison user", header(m, stream.HeaderKey), m.Headers)
	}
}

// Users who come one at a time must not be given up one at a time either.
func TestModelThatFailsForOneAfterTheOtherEndsTheWorker(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(context.Context, []Request) error { return errors.New("device lost") }
	h.models.publish("v1")
	r := h.run()
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	for n := int64(1); n < maxFailures; n++ {
		h.produce(h.see(fmt.Sprint("user-", n), "apple"))
		h.reach(r, "users given up", n, func(s Stats) int64 { return s.Failed })
	}
	h.produce(h.see("ann", "apple"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "device lost") {
		t.Errorf("Run ended with %v, want an error with the reason", err)
	}
	if n := h.buried(); n != maxFailures-1 {
		t.Errorf("%d users were given up, want %d", n, maxFailures-1)
	}
}

// A model that fails for everyone, because its GPU is gone for instance, must not
// empty the topic into the dead letters.
func TestModelThatFailsForEveryoneEndsTheWorker(t *testing.T) {
	h := newHarness(t)
	h.models.hook = func(context.Context, []Request) error { return errors.New("device lost") }
	h.produce(h.see("ann", "apple"))
	h.produce(h.see("bob", "bread"))
	r := h.run()
	h.reach(r, "refreshes read", 2, func(s Stats) int64 { return s.Read })
	h.models.publish("v1")
	if err := r.Wait(); err == nil || !strings.Contains(err.Error(), "device lost") || !strings.Contains(err.Error(), `"v1"`) {
		t.Errorf("Run ended with %v, want an error that names the model and its reason", err)
	}
	if n := h.buried(); n != 0 {
		t.Errorf("%d users were given up, want none", n)
	}

	h.models.hook = nil
	next := h.run()
	h.written(next, 2)
	next.Stop()
	h.wantRecommended("ann", "v1:apple")
	h.wantRecommended("bob", "v1:bread")
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
