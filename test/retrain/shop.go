package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// shop has aisles of items, along which its customers walk: mostly from an item to the next
// one, which a model can learn.
type shop struct {
	random  *rand.Rand
	cluster stream.Cluster
	writer  *kafka.Writer
	items   int
	users   []string
	at      map[string]int // the item that each took last
	sent    int
}

const (
	firstUsers = 500
	firstItems = 90
	aisle      = 30   // items
	straight   = 0.85 // of the steps go to the next item
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

// visit lets each of the users take so many items more, in the last hour.
func (s *shop) visit(ctx context.Context, users []string, items int) error {
	var messages []kafka.Message
	since := time.Now().Add(-time.Hour)
	for i := range items {
		for _, user := range users {
			m, err := s.take(user, since.Add(time.Duration(i)*time.Second))
			if err != nil {
				return err
			}
			messages = append(messages, m)
		}
	}
	return stream.Publish(ctx, slog.Default(), s.writer, messages...)
}

func (s *shop) take(user string, at time.Time) (kafka.Message, error) {
	before, known := s.at[user]
	next := s.random.IntN(s.items)
	if known && s.random.Float64() < straight {
		next = before/aisle*aisle + (before+1)%aisle
	}
	s.at[user] = next
	s.sent++
	value, err := json.Marshal(event.Event{
		ID: fmt.Sprintf("night-%d", s.sent), User: user, Item: itemName(next % s.items), Type: event.DefaultType, Time: at,
	})
	return kafka.Message{Key: []byte(user), Value: value}, err
}

// forget takes a user off the list.
func (s *shop) forget(user string) {
	s.users = slices.DeleteFunc(slices.Clone(s.users), func(u string) bool { return u == user })
}
