package importer

import (
	"errors"
	"time"

	"genrec/pkg/event"
	"genrec/sessions"
)

// batch is a number of consecutive rows of a file.
type batch struct {
	rows, skipped int64
	last          int64 // number of the last row that is complete
	size          int   // bytes of the rows
	events        []event.Event
	sources       []row // of the events
	skippedUsers  []string
	rejected      []RejectedRow
}

// add validates a row. The rows up to number done were imported by an earlier run.
func (b *batch) add(next row, path string, done int64, options fileOptions) {
	b.rows++
	b.size += len(next.value)
	if b.last = next.number; next.more {
		b.last-- // the line has more rows
	}
	skip := next.number <= done
	if skip {
		b.skipped++
	}
	var e event.Event
	rejected := RejectedRow{File: path, Line: next.number, Value: next.value}
	switch {
	case next.err != nil:
		rejected.Reason, rejected.Detail = ReasonBadRow, next.err.Error()
		if errors.As(next.err, &missingColumnError{}) {
			rejected.Reason = string(event.MissingField)
		}
	case next.event != nil:
		e = *next.event
	default:
		var err error
		e, err = event.Decode(next.value, time.Now(), options.limits)
		var invalid *event.InvalidError
		if errors.As(err, &invalid) {
			rejected.Reason, rejected.Detail = string(invalid.Reason), options.explain(invalid, next)
		}
	}
	if next.within != "" && rejected.Reason != "" {
		rejected.Detail = next.within + ": " + rejected.Detail
	}
	switch {
	case rejected.Reason != "" && !skip:
		b.rejected = append(b.rejected, rejected)
	case rejected.Reason == "" && skip:
		b.skippedUsers = append(b.skippedUsers, e.User)
	case rejected.Reason == "":
		b.events = append(b.events, e)
		b.sources = append(b.sources, next)
	}
}

// explain describes an invalid event by the values in its file, and names the flag that may help.
func (o fileOptions) explain(invalid *event.InvalidError, of row) string {
	switch {
	case invalid.Reason == event.BadTimestamp && of.time != "":
		return o.explainTime(of.time)
	case invalid.Reason == event.UnknownType:
		return invalid.Detail + ": map it to one of them with --event-type, such as --event-type click=clicks"
	}
	return invalid.Detail
}

// rejectUsers rejects the events of users whose sequence is unreadable.
func (b *batch) rejectUsers(path string, unreadable sessions.UserErrors) {
	details := make(map[string]string, len(unreadable))
	for _, e := range unreadable {
		details[e.User] = e.Error()
	}
	events, sources := b.events[:0], b.sources[:0]
	for i, e := range b.events {
		if detail, failed := details[e.User]; failed {
			b.rejected = append(b.rejected, RejectedRow{
				File: path, Line: b.sources[i].number, Value: b.sources[i].value, Reason: ReasonBadSequence, Detail: detail,
			})
			continue
		}
		events, sources = append(events, e), append(sources, b.sources[i])
	}
	b.events, b.sources = events, sources
}

// groupByUser groups events by user, in their order.
func groupByUser(events []event.Event) []sessions.UserEvents {
	index := make(map[string]int)
	var byUser []sessions.UserEvents
	for _, e := range events {
		at, known := index[e.User]
		if !known {
			at = len(byUser)
			index[e.User] = at
			byUser = append(byUser, sessions.UserEvents{User: e.User})
		}
		byUser[at].Events = append(byUser[at].Events, e)
	}
	return byUser
}
