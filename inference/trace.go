package inference

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"genrec/pkg/stream"
)

// follow joins the trace of a refresh with that of one which waits already: the older goes
// on, and both are linked.
func (p *pending) follow(older *pending) {
	if older.trace == nil {
		return
	}
	older.trace.Link(p.trace)
	p.trace.Link(older.trace)
	p.trace.End()
	p.trace, p.queued = older.trace, older.queued
}

// beginBatch begins the span of a batch, below that of its first user who is followed and
// linked with the others', or none if nobody is.
func beginBatch(ctx context.Context, batch []*pending) (span *stream.Span) {
	for _, p := range batch {
		switch {
		case !p.trace.Recording():
		case span == nil:
			span = p.trace.StartChild(ctx, "batch", attribute.Int("genrec.users", len(batch)))
		default:
			span.Link(p.trace)
		}
	}
	return span
}

// traceBatch adds what was done for the whole batch to each of its traces.
func traceBatch(ctx context.Context, step string, began time.Time, batch []*pending) {
	now := time.Now()
	for _, p := range batch {
		p.trace.AddStep(ctx, step, began, now)
	}
}

func traceTasks(ctx context.Context, step string, began time.Time, tasks []*task, links ...*stream.Span) {
	now := time.Now()
	for _, t := range tasks {
		t.trace.AddStep(ctx, step, began, now, links...)
	}
}
