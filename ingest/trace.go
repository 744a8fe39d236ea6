package ingest

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// trace adds what was done for the whole batch to the trace of each of its events.
func (b *batch) trace(ctx context.Context, step string, began, ended time.Time) {
	for _, user := range b.sources {
		for _, m := range user {
			m.trace.AddStep(ctx, step, began, ended)
		}
	}
}

// send begins the sending of each user's refresh, in the trace of the first event that is
// followed; the others' are linked with it.
func (b *batch) send(ctx context.Context, topic string, refreshes []kafka.Message) (sent []*stream.Span) {
	for i, user := range b.sources {
		var first *stream.Span
		for _, m := range user {
			switch {
			case m.trace == nil:
			case first == nil:
				first = m.trace.StartSend(ctx, topic, &refreshes[i])
				sent = append(sent, first)
			default:
				first.Link(m.trace)
				m.trace.Link(first)
			}
		}
	}
	return sent
}

// endTraces is for when nothing is left to do.
func (b *batch) endTraces() {
	for _, user := range b.sources {
		for _, m := range user {
			m.trace.End()
		}
	}
	endAll(b.buried)
}

func endAll(traces []*stream.Span) {
	for _, t := range traces {
		t.End()
	}
}
