package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
	"genrec/sessions"
)

// gated blocks the Append calls with events of one user.
type gated struct {
	Sessions
	user string
	gate chan struct{}
}

func (g *gated) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	if slices.ContainsFunc(batch, func(b sessions.UserEvents) bool { return b.User == g.user }) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-g.gate:
		}
	}
	return g.Sessions.Append(ctx, batch)
}

func partitionOf(user string) int {
	return (&kafka.Hash{}).Balance(kafka.Message{Key: []byte(user)}, 0, 1)
}

func TestOnePartitionDoesNotHoldUpAnother(t *testing.T) {
	h := newHarness(t)
	other := "u0" // a user in the other partition
	for n := 1; partitionOf(other) == partitionOf("ann"); n++ {
		other = fmt.Sprint("u", n)
	}
	store := &gated{Sessions: h.store, user: "ann", gate: make(chan struct{})}
	r := h.runWith(Config{}, store)
	h.produce(h.event("ann", "apple", 0))
	h.produce(h.event(other, "bread", 0), h.event(other, "beer", 1))
	h.finished(r, 2)
	h.wantItems(other, "bread beer")
	h.wantItems("ann", "")

	close(store.gate)
	h.finished(r, 3)
	r.Stop()
	h.wantItems("ann", "apple")
}

func TestMemoryIsBoundedByBytes(t *testing.T) {
	h := newHarness(t)
	const events = 50
	var (
		messages []kafka.Message
		items    []string
		one      int64
	)
	for nth := range events {
		item := fmt.Sprint("i", nth)
		m := h.event("ann", item, nth)
		messages, items, one = append(messages, m), append(items, item), max(one, cost(m))
	}
	store := &gated{Sessions: h.store, user: "ann", gate: make(chan struct{})}
	r := h.runWith(Config{MaxBytes: 5 * one}, store)
	h.produce(messages...)
	h.eventually(func() string {
		if r.budget.TryAcquire(one) {
			r.budget.Release(one)
			return "the budget is not exhausted"
		}
		return ""
	})
	close(store.gate)
	h.finished(r, events)
	r.Stop()
	h.wantItems("ann", strings.Join(items, " "))
	if !r.budget.TryAcquire(5 * one) {
		t.Error("the budget of finished messages was not released")
	}
}

// A message that is larger than the budget is processed alone.
func TestMessageLargerThanTheBudget(t *testing.T) {
	h := newHarness(t)
	r := h.runWith(Config{MaxBytes: 1}, h.store)
	h.produce(h.event("ann", "apple", 0), h.event("ann", "beer", 1))
	h.finished(r, 2)
	r.Stop()
	h.wantItems("ann", "apple beer")
}

func TestRebalance(t *testing.T) {
	h := newHarness(t)
	const users = 8
	var items []string
	produce := func() {
		item := fmt.Sprint("i", len(items))
		for user := range users {
			h.produce(h.event(fmt.Sprint("user-", user), item, len(items)))
		}
		items = append(items, item)
	}
	first := h.run()
	for range 5 {
		produce()
	}
	second := h.run()
	for range 5 {
		produce()
	}
	h.eventually(func() string {
		if h.servers.Members(DefaultGroup) != 2 {
			return "the second member did not join the group"
		}
		return ""
	})
	produce()
	first.Stop()
	produce()
	h.eventually(func() string {
		if n, want := h.committed(), int64(users*len(items)); n != want {
			return fmt.Sprintf("%d messages are committed, want %d", n, want)
		}
		return ""
	})
	second.Stop()
	for user := range users {
		h.wantItems(fmt.Sprint("user-", user), strings.Join(items, " "))
		h.wantRefreshed(fmt.Sprint("user-", user))
	}
}

func TestStartOffset(t *testing.T) {
	at := func(when time.Time) string { return when.Format(time.RFC3339Nano) }
	now := time.Now()
	for _, test := range []struct{ start, want string }{
		{"earliest", "apple beer carrot dill"},
		{"latest", "carrot dill"},
		{at(now.Add(-90 * time.Minute)), "beer carrot dill"},
		{at(now.Add(time.Hour)), "carrot dill"},
	} {
		t.Run(test.start, func(t *testing.T) {
			h := newHarness(t)
			start, err := stream.ParseStartOffset(test.start)
			if err != nil {
				t.Fatal(err)
			}
			old, recent := h.event("ann", "apple", 0), h.event("ann", "beer", 1)
			old.Time, recent.Time = now.Add(-2*time.Hour), now.Add(-time.Hour)
			h.produce(old)
			h.produce(recent)

			// The start offset is committed at once.
			first := h.runWith(Config{StartOffset: start}, h.store)
			if test.start == "earliest" {
				h.finished(first, 2)
			} else {
				h.eventually(func() string {
					if h.committed() == 0 {
						return "the start offset was not committed"
					}
					return ""
				})
			}
			first.Stop()
			h.produce(h.event("ann", "carrot", 2))
			h.produce(h.event("ann", "dill", 3))
			next := h.runWith(Config{StartOffset: start}, h.store)
			h.eventually(func() string {
				if n := h.committed(); n != 4 {
					return fmt.Sprintf("%d messages are committed, want 4", n)
				}
				return ""
			})
			next.Stop()
			h.wantItems("ann", test.want)
		})
	}
}
