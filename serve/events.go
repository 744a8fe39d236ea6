package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

const maxEvents = 500 // per request

func (s *Server) acceptEvents(w http.ResponseWriter, r *http.Request) {
	if s.publisher == nil {
		WriteProblem(w, http.StatusNotImplemented, "this server accepts no events: start it with --kafka")
		return
	}
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	events, err := parseEvents(body, time.Now())
	if err != nil {
		WriteProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	err = s.publisher.Publish(ctx, events)
	if rejected := (*stream.RejectedError)(nil); errors.As(err, &rejected) && errors.Is(err, kafka.MessageSizeTooLarge) {
		s.failures.Do(func() { s.cfg.Logger.ErrorContext(ctx, "responded with 413", "err", err) })
		WriteProblem(w, http.StatusRequestEntityTooLarge, "%d of %d events exceed the max.message.bytes of the Kafka topic; the others are accepted",
			len(rejected.Messages), len(events))
		return
	}
	if err != nil {
		s.unavailable(ctx, w, "delivery to Kafka is unknown; a retry is safe, because events are deduplicated by event_id", err)
		return
	}
	WriteJSON(w, http.StatusAccepted, map[string]int{"accepted": len(events)})
}

// parseEvents decodes an event or an array of events. If one is invalid, none is accepted.
func parseEvents(body []byte, now time.Time) ([]Event, error) {
	body = bytes.TrimSpace(body)
	all := []json.RawMessage{body}
	if bytes.HasPrefix(body, []byte("[")) {
		all = nil
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, fmt.Errorf("the body is not an array of events: %w", err)
		}
		if len(all) == 0 || len(all) > maxEvents {
			return nil, fmt.Errorf("the array has %d events: it must have from 1 to %d", len(all), maxEvents)
		}
	}
	events := make([]Event, len(all))
	for i, raw := range all {
		e, err := event.Decode(raw, now, event.DefaultLimits())
		if err != nil {
			if invalid := (*event.InvalidError)(nil); len(all) > 1 && errors.As(err, &invalid) {
				return nil, fmt.Errorf("event %d of %d is invalid, none is accepted: %s: %s", i+1, len(all), invalid.Reason, invalid.Detail)
			}
			return nil, err
		}
		events[i] = Event{User: e.User, JSON: raw}
	}
	return events, nil
}

// Producer is a Publisher that writes to the interactions topic.
type Producer struct {
	writer *kafka.Writer
	logger *slog.Logger
}

// NewProducer returns a producer; the caller must Close it.
func NewProducer(cluster stream.Cluster, logger *slog.Logger) *Producer {
	return &Producer{writer: stream.NewWriter(cluster, stream.DefaultTopics().Interactions), logger: logger}
}

// Publish writes events, keyed by user, and retries until ctx ends. The messages carry the trace
// of ctx, if there is one.
func (p *Producer) Publish(ctx context.Context, events []Event) error {
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		messages[i] = kafka.Message{Key: []byte(e.User), Value: e.JSON}
		defer stream.StartSend(ctx, p.writer.Topic, &messages[i]).End()
	}
	return stream.Publish(ctx, p.logger, p.writer, messages...)
}

// Permissions returns the Kafka permissions that the Producer needs.
func (p *Producer) Permissions() stream.Permissions {
	return stream.Permissions{Writes: []string{p.writer.Topic}}
}

// Close waits for pending writes.
func (p *Producer) Close() error { return p.writer.Close() }
