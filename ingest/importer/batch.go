package importer

import (
	"errors"
	"time"

	"genrec/pkg/event"
	"genrec/sessions"
)

// batch is a number of rows.
type batch struct {
	rows, skipped int64
	last          int64 // number of the last row
	size          int
	events        []event.Event
	sources       []row // of the events
	skippedUsers  []string
	refused       []Refused
}

func (b *batch) add(next row, path string, done int64, r reading) {
	b.rows++
	b.size += len(next.value)
	if b.last = next.number; next.more {
		b.last-- // the line is not done
	}
	skip := next.number <= done
	if skip {
		b.skipped++
	}
	var e event.Event
	refused := Refused{File: path, Line: next.number, Value: next.value}
	switch {
	case next.err != nil:
		refused.Reason, refused.Detail = ReasonBadRow, next.err.Error()
		if errors.As(next.err, &missingError{}) {
			refused.Reason = string(event.MissingField)
		}
	case next.event != nil:
		e = *next.event
	default:
		var err error
		e, err = event.Decode(next.value, time.Now(), r.limits)
		var invalid *event.InvalidError
		if errors.As(err, &invalid) {
			refused.Reason, refused.Detail = string(invalid.Reason), r.explain(invalid, next)
		}
	}
	if next.within != "" && refused.Reason != "" {
		refused.Detail = next.within + ": " + refused.Detail
	}
	switch {
	case refused.Reason != "" && !skip:
		b.refused = append(b.refused, refused)
	case refused.Reason == "" && skip:
		b.skippedUsers = append(b.skippedUsers, e.User)
	case refused.Reason == "":
		b.events = append(b.events, e)
		b.sources = append(b.sources, next)
	}
}

// explain says what is wrong with an event in the words of its file.
func (r reading) explain(invalid *event.InvalidError, of row) string {
	switch {
	case invalid.Reason == event.BadTimestamp && of.time != "":
		return r.explainTime(of.time)
	case invalid.Reason == event.UnknownType:
		return invalid.Detail + ": say which one it is with --event-type, such as --event-type click=clicks"
	}
	return invalid.Detail
}

// refuseUsers refuses the events of users whose sequence is unreadable.
func (b *batch) refuseUsers(path string, unreadable sessions.UserErrors) {
	why := make(map[string]string, len(unreadable))
	for _, e := range unreadable {
		why[e.User] = e.Error()
	}
	events, sources := b.events[:0], b.sources[:0]
	for i, e := range b.events {
		if detail, refused := why[e.User]; refused {
			b.refused = append(b.refused, Refused{
				File: path, Line: b.sources[i].number, Value: b.sources[i].value, Reason: ReasonBadSequence, Detail: detail,
			})
			continue
		}
		events, sources = append(events, e), append(sources, b.sources[i])
	}
	b.events, b.sources = events, sources
}

// group puts the events of a user together, in their order.
func group(events []event.Event) []sessions.UserEvents {
	position := make(map[string]int)
	var byUser []sessions.UserEvents
	for _, e := range events {
		at, known := position[e.User]
		if !known {
			at = len(byUser)
			position[e.User] = at
			byUser = append(byUser, sessions.UserEvents{User: e.User})
		}
		byUser[at].Events = append(byUser[at].Events, e)
	}
	return byUser
}
