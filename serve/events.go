package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// maxEvents of one request.
const maxEvents = 500

func (s *Server) acceptEvents(w http.ResponseWriter, r *http.Request) {
	if s.publisher == nil {
		Refuse(w, http.StatusNotImplemented, "this server takes no events: start it with --kafka")
		return
	}
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	events, err := parseEvents(body, time.Now())
	if err != nil {
		Refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTime)
	defer cancel()
	err = s.publisher.Publish(ctx, events)
	if rejected := (*stream.RejectedError)(nil); errors.As(err, &rejected) && errors.Is(err, kafka.MessageSizeTooLarge) {
		s.failures.Do(func() { s.cfg.Logger.ErrorContext(ctx, "answered 413", "err", err) })
		Refuse(w, http.StatusRequestEntityTooLarge, "%d of %d events are larger than Kafka's topic takes; the others are accepted",
			len(rejected.Messages), len(events))
		return
	}
	if err != nil {
		s.unavailable(ctx, w, "it is not known whether Kafka has the events, and events that come twice count once", err)
		return
	}
	Answer(w, http.StatusAccepted, map[string]int{"accepted": len(events)})
}

// parseEvents reads an event or an array of them: all are valid, or none is accepted.
func parseEvents(body []byte, now time.Time) ([]Event, error) {
	body = bytes.TrimSpace(body)
	all := []json.RawMessage{body}
	if bytes.HasPrefix(body, []byte("[")) {
		all = nil
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, fmt.Errorf("the body is no array of events: %w", err)
		}
		if len(all) == 0 || len(all) > maxEvents {
			return nil, fmt.Errorf("the array has %d events: it must be from 1 to %d", len(all), maxEvents)
		}
	}
	events := make([]Event, len(all))
	for i, raw := range all {
		e, err := event.Decode(raw, now, event.DefaultLimits())
		if err != nil {
			if bad := (*event.InvalidError)(nil); len(all) > 1 && errors.As(err, &bad) {
				return nil, fmt.Errorf("event %d of %d, and so none is accepted: %s: %s", i+1, len(all), bad.Reason, bad.Detail)
			}
			return nil, err
		}
		events[i] = Event{User: e.User, JSON: raw}
	}
	return events, nil
}
