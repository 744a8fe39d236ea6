package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// Reason codes in addition to those of package event.
const (
	// ReasonBadSequence is the reason of events whose user has an unreadable sequence in Redis.
	ReasonBadSequence event.Reason = "bad_sequence"
	// ReasonRefreshRejected counts refreshes that their topic rejects; the event is in its
	// sequence.
	ReasonRefreshRejected event.Reason = "refresh_rejected"
	// ReasonDeadLetterRejected counts dead letters that their topic rejects; of the message, only
	// its position in the log is left.
	ReasonDeadLetterRejected event.Reason = "dead_letter_rejected"
)

// source is a message as it was fetched, and the span of its processing.
type source struct {
	kafka.Message
	span *stream.Span // nil: not traced
}

// decoded is a message and its event, or why it has no valid one.
type decoded struct {
	source  source
	event   event.Event
	invalid *event.InvalidError // nil: event is valid
	cost    int64               // bytes of the budget
}

// decode validates a message.
func decode(m kafka.Message, now time.Time, limits event.Limits) decoded {
	d := decoded{source: source{Message: m}, cost: cost(m)}
	e, err := event.Decode(m.Value, now, limits)
	if !errors.As(err, &d.invalid) {
		d.event = e
	}
	return d
}

// cost returns about how many bytes a message occupies until it is finished.
func cost(m kafka.Message) int64 {
	const overhead = 512
	n := overhead + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// batch is a number of consecutive messages of a partition: the events to append, grouped by
// user, and the dead letters to write.
type batch struct {
	messages    int
	bytes       int64                 // sum of the costs
	next        int64                 // offset after the last message
	users       []sessions.UserEvents // each user once
	sources     [][]source            // of the events, parallel to users
	userIndex   map[string]int        // in users and sources
	deadLetters []kafka.Message
	deadSpans   []*stream.Span // of the dead-lettered messages
	dead        map[event.Reason]int64
}

func newBatch() *batch { return &batch{userIndex: make(map[string]int)} }

// add adds the event of a message, or a dead letter for it.
func (b *batch) add(m decoded) {
	b.messages++
	b.bytes += m.cost
	b.next = m.source.Offset + 1
	if m.invalid != nil {
		b.addDeadLetter(m.source, m.invalid.Reason, m.invalid.Detail)
		return
	}
	at, known := b.userIndex[m.event.User]
	if !known {
		at = len(b.users)
		b.userIndex[m.event.User] = at
		b.users = append(b.users, sessions.UserEvents{User: m.event.User})
		b.sources = append(b.sources, nil)
	}
	b.users[at].Events = append(b.users[at].Events, m.event)
	b.sources[at] = append(b.sources[at], m.source)
}

func (b *batch) addDeadLetter(m source, reason event.Reason, detail string) {
	if m.span != nil {
		m.span.Fail(string(reason))
		b.deadSpans = append(b.deadSpans, m.span)
	}
	b.countDead(reason, 1)
	b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(m.Message, string(reason), detail))
}

func (b *batch) countDead(reason event.Reason, n int) {
	if b.dead == nil {
		b.dead = make(map[event.Reason]int64)
	}
	b.dead[reason] += int64(n)
}

// deadLetterUsers replaces the events of users with an unreadable sequence by dead letters, and
// returns the results of the other users.
func (b *batch) deadLetterUsers(unreadable sessions.UserErrors, results []sessions.Appended) (appended []sessions.Appended) {
	failed := make(map[string]*sessions.UserError, len(unreadable))
	for _, e := range unreadable {
		failed[e.User] = e
	}
	users, sources := b.users[:0], b.sources[:0]
	for i, u := range b.users {
		if e := failed[u.User]; e != nil {
			for _, m := range b.sources[i] {
				b.addDeadLetter(m, ReasonBadSequence, e.Error())
			}
			continue
		}
		users, sources, appended = append(users, u), append(sources, b.sources[i]), append(appended, results[i])
	}
	b.users, b.sources = users, sources
	return appended
}

// refreshes returns a refresh for every user, also for those whose events were all duplicates:
// after a crash between append and publish, only the redelivered event can still cause the
// refresh.
func (b *batch) refreshes(appended []sessions.Appended) ([]kafka.Message, error) {
	messages := make([]kafka.Message, len(appended))
	for i, a := range appended {
		refresh := stream.Refresh{User: a.User, SequenceVersion: a.Version}
		for _, m := range b.sources[i] {
			refresh.AddProducedAt(m.Time.UnixMilli())
		}
		var err error
		if messages[i], err = refresh.Message(); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

func (b *batch) stats(appended []sessions.Appended) Stats {
	s := Stats{Read: int64(b.messages), Dead: b.dead}
	for _, a := range appended {
		s.Appended += int64(a.Added)
	}
	s.Duplicates = s.Read - int64(len(b.deadLetters)) - s.Appended
	return s
}

// addStep records a step of the whole batch in the span of each event.
func (b *batch) addStep(ctx context.Context, step string, began, ended time.Time) {
	for _, user := range b.sources {
		for _, m := range user {
			m.span.AddStep(ctx, step, began, ended)
		}
	}
}

// startSends starts the spans of sending the refreshes. The refresh of a user is sent in the
// trace of the user's first traced event, and linked with the other events.
func (b *batch) startSends(ctx context.Context, topic string, refreshes []kafka.Message) (sends []*stream.Span) {
	for i, user := range b.sources {
		var send *stream.Span
		for _, m := range user {
			switch {
			case m.span == nil:
			case send == nil:
				send = m.span.StartSend(ctx, topic, &refreshes[i])
				sends = append(sends, send)
			default:
				send.Link(m.span)
				m.span.Link(send)
			}
		}
	}
	return sends
}

// endSpans ends the spans of all messages.
func (b *batch) endSpans() {
	for _, user := range b.sources {
		for _, m := range user {
			m.span.End()
		}
	}
	endAll(b.deadSpans)
}

func endAll(spans []*stream.Span) {
	for _, s := range spans {
		s.End()
	}
}
