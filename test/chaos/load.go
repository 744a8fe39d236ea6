package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// load are the events that are sent: most in order, some late, some twice, some that are
// none.
type load struct {
	s       settings
	random  *rand.Rand
	began   time.Time
	sent    []event.Event       // each once
	refused map[string]struct{} // values that are no events
	later   map[int][]kafka.Message
	tick    int
}

const (
	ticksPerSecond = 20
	mostLater      = 10 * ticksPerSecond // ticks that an event may come late
)

func newLoad(s settings, random *rand.Rand) *load {
	return &load{
		s: s, random: random, began: time.Now().Add(-time.Hour).Truncate(time.Millisecond),
		refused: make(map[string]struct{}), later: make(map[int][]kafka.Message),
	}
}

// run sends until the duration is over, and then what is still late.
func (l *load) run(ctx context.Context, cluster stream.Cluster) error {
	writer := stream.NewWriter(cluster, stream.DefaultTopics().Interactions)
	defer writer.Close()
	ticker := time.NewTicker(time.Second / ticksPerSecond)
	defer ticker.Stop()
	quiet := slog.New(slog.DiscardHandler) // that Kafka is away is what is wanted
	for end := time.Now().Add(l.s.duration); time.Now().Before(end) || len(l.later) > 0; l.tick++ {
		messages := l.later[l.tick]
		delete(l.later, l.tick)
		if time.Now().Before(end) {
			for range l.s.rate / ticksPerSecond {
				messages = append(messages, l.next()...)
			}
		}
		if len(messages) > 0 {
			if err := stream.Publish(ctx, quiet, writer, messages...); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// next makes an event, and returns what of it is sent at once.
func (l *load) next() []kafka.Message {
	number := len(l.sent) + len(l.refused)
	// The square makes a few users busy and most of them rare.
	rank := l.random.Float64()
	user := fmt.Sprintf("user-%d", int(rank*rank*float64(l.s.users)))
	if l.random.IntN(50) == 0 {
		value := fmt.Sprintf(`{"event_id":"bad-%d","user_id":%q}`, number, user) // without an item
		l.refused[value] = struct{}{}
		return []kafka.Message{{Key: []byte(user), Value: []byte(value)}}
	}
	// No two at the same time: their order would be that of their arrival.
	e := event.Event{
		ID: fmt.Sprintf("event-%d", number), User: user, Item: fmt.Sprintf("item-%d", l.random.IntN(1000)),
		Type: event.DefaultType, Time: l.began.Add(time.Duration(number) * time.Millisecond).UTC(),
	}
	l.sent = append(l.sent, e)
	value, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and a time
	}
	m := kafka.Message{Key: []byte(user), Value: value}
	if l.random.IntN(10) == 0 {
		l.postpone(m) // twice, or late in place of now
		if l.random.IntN(2) == 0 {
			return nil
		}
	}
	return []kafka.Message{m}
}

func (l *load) postpone(m kafka.Message) {
	at := l.tick + 1 + l.random.IntN(mostLater)
	l.later[at] = append(l.later[at], m)
}
