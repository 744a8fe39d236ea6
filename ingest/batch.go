package ingest

import (
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// source is a message as it came, and its trace if somebody follows it.
type source struct {
	kafka.Message
	trace *stream.Span
}

// decoded is a message and what it holds: an event, or what is wrong with it.
type decoded struct {
	source  source
	event   event.Event
	invalid *event.InvalidError
	cost    int64
}

func decode(m kafka.Message, now time.Time, limits event.Limits) decoded {
	d := decoded{source: source{Message: m}, cost: cost(m)}
	e, err := event.Decode(m.Value, now, limits)
	if !errors.As(err, &d.invalid) {
		d.event = e
	}
	return d
}

// cost is about how much memory a message takes until it is finished.
func cost(m kafka.Message) int64 {
	const overhead = 512
	n := overhead + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// batch is what a number of messages of one partition comes to.
type batch struct {
	messages    int
	bytes       int64
	next        int64                 // offset after the last message
	users       []sessions.UserEvents // each user once
	sources     [][]source            // of the events of each user
	position    map[string]int        // of a user in both
	buried      []*stream.Span        // of the messages that have a dead letter
	deadLetters []kafka.Message
	dead        map[event.Reason]int64
}

func newBatch() *batch { return &batch{position: make(map[string]int)} }

func (b *batch) add(m decoded) {
	b.messages++
	b.bytes += m.cost
	b.next = m.source.Offset + 1
	if m.invalid != nil {
		b.bury(m.source, m.invalid.Reason, m.invalid.Detail)
		return
	}
	at, known := b.position[m.event.User]
	if !known {
		at = len(b.users)
		b.position[m.event.User] = at
		b.users = append(b.users, sessions.UserEvents{User: m.event.User})
		b.sources = append(b.sources, nil)
	}
	b.users[at].Events = append(b.users[at].Events, m.event)
	b.sources[at] = append(b.sources[at], m.source)
}

// Reasons beside those of package event.
const (
	// ReasonBadSequence is that of events of a user of whom Redis holds what no Store wrote.
	ReasonBadSequence event.Reason = "bad_sequence"
	// These count messages that the topic does not take. The event is in its sequence in the
	// one case, and lost but for its place in the log in the other.
	ReasonRefreshRejected    event.Reason = "refresh_rejected"
	ReasonDeadLetterRejected event.Reason = "dead_letter_rejected"
)

// giveUp dead-letters the events of the users that were not appended to, and returns the
// answers for the others.
func (b *batch) giveUp(unreadable sessions.UserErrors, answers []sessions.Appended) (appended []sessions.Appended) {
	why := make(map[string]*sessions.UserError, len(unreadable))
	for _, e := range unreadable {
		why[e.User] = e
	}
	users, sources := b.users[:0], b.sources[:0]
	for i, u := range b.users {
		if e := why[u.User]; e != nil {
			for _, m := range b.sources[i] {
				b.bury(m, ReasonBadSequence, e.Error())
			}
			continue
		}
		users, sources, appended = append(users, u), append(sources, b.sources[i]), append(appended, answers[i])
	}
	b.users, b.sources = users, sources
	return appended
}

func (b *batch) bury(m source, reason event.Reason, detail string) {
	if m.trace != nil {
		m.trace.Fail(string(reason))
		b.buried = append(b.buried, m.trace)
	}
	b.count(reason, 1)
	b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(m.Message, string(reason), detail))
}

func (b *batch) count(reason event.Reason, n int) {
	if b.dead == nil {
		b.dead = make(map[event.Reason]int64)
	}
	b.dead[reason] += int64(n)
}

// refreshes has one for every user, also for those whose events were all known:
// after a crash between the append and the refresh, only the redelivered event
// can still cause it.
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
