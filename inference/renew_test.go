package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// act gives users an event at a time, without telling anybody.
func (h *harness) act(at time.Time, users ...string) {
	h.t.Helper()
	batch := make([]sessions.UserEvents, len(users))
	for i, user := range users {
		h.events++
		batch[i] = sessions.UserEvents{User: user, Events: []event.Event{{
			ID: fmt.Sprint("e", h.events), User: user, Item: "apple", Type: event.DefaultType, Time: at,
		}}}
	}
	if _, err := h.store.Append(h.t.Context(), batch); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) versionOf(user string) string {
	h.t.Helper()
	recs, err := h.store.Lists(h.t.Context(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	return recs[0].ModelVersion
}

func (h *harness) renewed(want string) {
	h.t.Helper()
	h.eventually(func() string {
		got, err := h.store.Refreshed(h.t.Context())
		if err != nil || got != want {
			return fmt.Sprintf("users are renewed for %q (error %v), want %q", got, err, want)
		}
		return ""
	})
}

func quickly(c *Config) { c.RefreshRate = 10_000 }

// TestActiveUsersAreRenewed has two workers: one of them asks, and both answer.
func TestActiveUsersAreRenewed(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	var users []string
	for i := range 50 {
		users = append(users, fmt.Sprint("u", i))
	}
	h.act(time.Now().Add(-time.Hour), users...)
	h.act(time.Now().Add(-2*DefaultActiveFor), "idle")
	first, second := h.run(quickly), h.run(quickly)
	h.renewed("v1:100")
	h.models.publish("v2")
	h.renewed("v2:100")
	h.eventually(func() string {
		for _, user := range users {
			if v := h.versionOf(user); v != "v2" {
				return fmt.Sprintf("%s is answered by %q", user, v)
			}
		}
		return ""
	})
	if v := h.versionOf("idle"); v != "" {
		t.Errorf("who did nothing for long is answered by %q", v)
	}
	first.Stop()
	second.Stop()
	// A pass may find some whom a worker that was late had answered by v1 once more.
	asked := first.Stats().Renewed + second.Stats().Renewed
	if least := int64(2 * len(users)); asked < least || asked > least*renewalPasses {
		t.Errorf("%d refreshes were asked for, want at least %d and not every user each time", asked, least)
	}
	restarted := h.run(quickly)
	h.swapped(restarted, 1)
	time.Sleep(100 * time.Millisecond)
	restarted.Stop()
	if n := restarted.Stats().Renewed; n != 0 {
		t.Errorf("a restart renewed %d users again", n)
	}
}

// TestRenewalIsTakenOver stops the worker that renews; another one ends its work.
func TestRenewalIsTakenOver(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	var users []string
	for i := range 200 {
		users = append(users, fmt.Sprint("u", i))
	}
	h.act(time.Now(), users...)
	slowly := func(c *Config) { c.RefreshRate = 50 }
	first := h.run(slowly)
	h.reach(first, "refreshes asked for", 10, func(s Stats) int64 { return s.Renewed })
	first.Stop()
	if got, err := h.store.Refreshed(t.Context()); err != nil || got != "" {
		t.Fatalf("renewed for %q (error %v) though it was stopped", got, err)
	}
	done := first.Stats().Written
	second := h.run(quickly)
	h.renewed("v1:100")
	h.eventually(func() string {
		if n := done + second.Stats().Written; n < int64(len(users)) {
			return fmt.Sprintf("%d of %d users were renewed", n, len(users))
		}
		return ""
	})
	second.Stop()
	if s := second.Stats(); s.Written > int64(len(users))-done {
		t.Errorf("the second worker wrote %d lists after %d of %d: some twice", s.Written, done, len(users))
	}
}

// TestRenewalGivesWay swaps again while users are renewed.
func TestRenewalGivesWay(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	var users []string
	for i := range 100 {
		users = append(users, fmt.Sprint("u", i))
	}
	h.act(time.Now(), users...)
	r := h.run(func(c *Config) { c.RefreshRate = 100 })
	h.reach(r, "refreshes asked for", 10, func(s Stats) int64 { return s.Renewed })
	h.models.publish("v2")
	h.renewed("v2:100")
	h.eventually(func() string {
		for _, user := range users {
			if v := h.versionOf(user); v != "v2" {
				return fmt.Sprintf("%s is answered by %q", user, v)
			}
		}
		return ""
	})
	r.Stop()
	if s := r.Stats(); s.Renewed >= int64(2*len(users)) {
		t.Errorf("%d refreshes were asked for: the first renewal of %d users went on to its end", s.Renewed, len(users))
	}
}

func TestRenewalKeepsItsRate(t *testing.T) {
	h := newHarness(t)
	r := New(Config{Kafka: h.kafka(), RefreshRate: 100}, h.models, h.store).open()
	t.Cleanup(func() { _ = r.close() })
	lease, err := h.store.Acquire(t.Context(), renewalLease, leaseLasts)
	if err != nil || lease == nil {
		t.Fatalf("got lease %v, error %v", lease, err)
	}
	p := &renewal{run: r, lease: lease, limit: rate.NewLimiter(100, 10)}
	began := time.Now()
	users := make([]string, 60)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	if n, err := p.ask(t.Context(), users); n != 60 || err != nil {
		t.Fatalf("asked for %d, error %v", n, err)
	}
	if took := time.Since(began); took < 450*time.Millisecond { // the first ten at once
		t.Errorf("60 users took %v at 100 a second", took)
	}

	// Nobody answers: what waits is more than a second's.
	p.looked, r.cfg.RefreshRate = time.Time{}, 40
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if n, err := p.ask(ctx, users); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked for %d more while 60 wait (error %v)", n, err)
	}

	p.held = time.Time{}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.hold(t.Context()); !errors.Is(err, errLeaseLost) {
		t.Errorf("got error %v without the lease, want %v", err, errLeaseLost)
	}
}

func TestQueuePutsEventsFirst(t *testing.T) {
	q := newQueue(100)
	for i := range 4 {
		q.tryAdd(&pending{refresh: stream.Refresh{User: fmt.Sprint("renewed", i)}})
	}
	for i := range 4 {
		q.tryAdd(refreshOf(fmt.Sprint("live", i), 1, 100))
	}
	q.tryAdd(refreshOf("renewed1", 2, 100))                    // an event of one who was to be renewed
	q.tryAdd(&pending{refresh: stream.Refresh{User: "live3"}}) // and the other way round
	for i, want := range [][]string{
		{"live0", "live1", "renewed0"}, // one of them each time
		{"live2"},                      // unless there is room for one alone
		{"live3", "renewed1", "renewed2", "renewed3"},
		nil,
	} {
		n := []int{3, 1, 10, 1}[i]
		if got := usersOf(q.take(n)); !slices.Equal(got, want) {
			t.Errorf("take %d got %v, want %v", i, got, want)
		}
	}
	if q.len() != 0 {
		t.Errorf("%d users wait in an empty queue", q.len())
	}
}
