package ingest

import (
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// batch is what a number of messages comes to.
type batch struct {
	messages    []kafka.Message
	users       []sessions.UserEvents // each user once
	producedAt  map[string][]int64    // by user, Unix ms
	deadLetters []kafka.Message
	dead        map[event.Reason]int64
}

func newBatch(messages []kafka.Message, now time.Time, limits event.Limits) batch {
	b := batch{
		messages:   messages,
		producedAt: make(map[string][]int64),
		dead:       make(map[event.Reason]int64),
	}
	position := make(map[string]int) // of a user in b.users
	for _, m := range messages {
		e, err := event.Decode(m.Value, now, limits)
		var invalid *event.InvalidError
		if errors.As(err, &invalid) {
			b.dead[invalid.Reason]++
			b.deadLetters = append(b.deadLetters, stream.DeadLetter(m, string(invalid.Reason), invalid.Detail))
			continue
		}
		at, known := position[e.User]
		if !known {
			at = len(b.users)
			position[e.User] = at
			b.users = append(b.users, sessions.UserEvents{User: e.User})
		}
		b.users[at].Events = append(b.users[at].Events, e)
		b.producedAt[e.User] = append(b.producedAt[e.User], m.Time.UnixMilli())
	}
	return b
}

// refreshes has one for every user, also for those whose events were all known:
// after a crash between the append and the refresh, only the redelivered event
// can still cause it.
func (b batch) refreshes(appended []sessions.Appended) ([]kafka.Message, error) {
	messages := make([]kafka.Message, len(appended))
	for i, a := range appended {
		refresh := stream.Refresh{User: a.User, SequenceVersion: a.Version}
		refresh.AddProducedAt(b.producedAt[a.User]...)
		var err error
		if messages[i], err = refresh.Message(); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

func (b batch) stats(appended []sessions.Appended) Stats {
	s := Stats{Read: int64(len(b.messages)), Dead: b.dead}
	for _, a := range appended {
		s.Appended += int64(a.Added)
	}
	s.Duplicates = s.Read - int64(len(b.deadLetters)) - s.Appended
	return s
}
