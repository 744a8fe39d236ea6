package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
	"genrec/test/harness"
)

// shop generates events that a model can learn: items form cycles ("aisles"), and a user mostly proceeds to the
// next item of the cycle.
type shop struct {
	random  *rand.Rand
	cluster stream.Cluster
	writer  *kafka.Writer
	items   int
	users   []string
	at      map[string]int // the last item of each user
	sent    int
}

const (
	firstUsers      = 500
	firstItems      = 90
	aisle           = 30   // items in a cycle
	nextProbability = 0.85 // probability that the next event is of the next item
)

func newShop(seed uint64, cluster stream.Cluster) *shop {
	s := &shop{
		random: rand.New(rand.NewPCG(seed, 1)), cluster: cluster,
		writer: stream.NewWriter(cluster, stream.DefaultTopics().Interactions),
		items:  firstItems, at: make(map[string]int),
	}
	for i := range firstUsers {
		s.users = append(s.users, fmt.Sprintf("customer-%d", i))
	}
	return s
}

func itemName(n int) string { return fmt.Sprintf("item-%d", n) }

// send sends events of each user, with times in the last hour.
func (s *shop) send(ctx context.Context, users []string, items int) error {
	var messages []kafka.Message
	since := time.Now().Add(-time.Hour)
	for i := range items {
		for _, user := range users {
			messages = append(messages, s.nextEvent(user, since.Add(time.Duration(i)*time.Second)))
		}
	}
	return stream.Publish(ctx, slog.Default(), s.writer, messages...)
}

// nextEvent returns an event of the user.
func (s *shop) nextEvent(user string, at time.Time) kafka.Message {
	before, known := s.at[user]
	next := s.random.IntN(s.items)
	if known && s.random.Float64() < nextProbability {
		next = before/aisle*aisle + (before+1)%aisle
	}
	s.at[user] = next
	s.sent++
	return harness.Message(event.Event{
		ID: fmt.Sprintf("event-%d", s.sent), User: user, Item: itemName(next % s.items), Type: event.DefaultType, Time: at,
	})
}

// forget removes a user.
func (s *shop) forget(user string) {
	s.users = slices.DeleteFunc(slices.Clone(s.users), func(u string) bool { return u == user })
}

// reader requests recommendations continuously.
type reader struct {
	store  *sessions.Store
	random *rand.Rand
	users  []string
	failed atomic.Int64 // requests without recommendations
}

// read requests recommendations until ctx ends. Once there is a model, every user must have a list,
// their own or the fallback.
func (r *reader) read(ctx context.Context) {
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		user := r.users[r.random.IntN(len(r.users))]
		found, err := r.store.List(ctx, user)
		if ctx.Err() != nil {
			return
		}
		if err != nil || len(found.Items) == 0 || found.ModelVersion == "" {
			r.failed.Add(1)
			slog.Error("no recommendations", "user", user, "items", len(found.Items), "version", found.ModelVersion, "cause", err)
		}
	}
}
