package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/test/harness"
)

// load sends events: most in order, some late, some twice, some invalid.
type load struct {
	s         settings
	random    *rand.Rand
	began     time.Time
	sent      []event.Event           // valid events, without duplicates
	invalid   map[string]struct{}     // values of invalid events
	postponed map[int][]kafka.Message // messages by the tick to send them
	tick      int
}

const (
	ticksPerSecond = 20
	maxDelay       = 10 * ticksPerSecond // ticks
)

func newLoad(s settings, random *rand.Rand) *load {
	return &load{
		s: s, random: random, began: time.Now().Add(-time.Hour).Truncate(time.Millisecond),
		invalid: make(map[string]struct{}), postponed: make(map[int][]kafka.Message),
	}
}

// run sends events for the duration, and then the remaining postponed ones.
func (l *load) run(ctx context.Context, cluster stream.Cluster) error {
	writer := stream.NewWriter(cluster, stream.DefaultTopics().Interactions)
	defer writer.Close()
	ticker := time.NewTicker(time.Second / ticksPerSecond)
	defer ticker.Stop()
	quiet := slog.New(slog.DiscardHandler) // Kafka is expected to be down at times
	for end := time.Now().Add(l.s.duration); time.Now().Before(end) || len(l.postponed) > 0; l.tick++ {
		messages := l.postponed[l.tick]
		delete(l.postponed, l.tick)
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

// next generates an event and returns the messages to send immediately.
func (l *load) next() []kafka.Message {
	number := len(l.sent) + len(l.invalid)
	// The square makes a few users much more active than others.
	rank := l.random.Float64()
	user := fmt.Sprintf("user-%d", int(rank*rank*float64(l.s.users)))
	if l.random.IntN(50) == 0 {
		value := fmt.Sprintf(`{"event_id":"bad-%d","user_id":%q}`, number, user) // without an item
		l.invalid[value] = struct{}{}
		return []kafka.Message{{Key: []byte(user), Value: []byte(value)}}
	}
	// Times are distinct: events with equal times would be ordered by arrival.
	e := event.Event{
		ID: fmt.Sprintf("event-%d", number), User: user, Item: fmt.Sprintf("item-%d", l.random.IntN(1000)),
		Type: event.DefaultType, Time: l.began.Add(time.Duration(number) * time.Millisecond).UTC(),
	}
	l.sent = append(l.sent, e)
	m := harness.Message(e)
	if l.random.IntN(10) == 0 {
		l.postpone(m) // a duplicate, or the only message, late
		if l.random.IntN(2) == 0 {
			return nil
		}
	}
	return []kafka.Message{m}
}

func (l *load) postpone(m kafka.Message) {
	at := l.tick + 1 + l.random.IntN(maxDelay)
	l.postponed[at] = append(l.postponed[at], m)
}
