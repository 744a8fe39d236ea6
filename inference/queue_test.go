package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"genrec/pkg/stream"
)

func refreshOf(user string, version int64, producedAt ...int64) pending {
	return pending{refresh: stream.Refresh{User: user, SequenceVersion: version, ProducedAt: producedAt}}
}

func usersOf(batch []pending) []string {
	var users []string
	for _, p := range batch {
		users = append(users, p.refresh.User)
	}
	return users
}

func TestQueueIsFIFO(t *testing.T) {
	q := newQueue(10)
	for i := range 5 {
		q.add(refreshOf(fmt.Sprint("u", i), 1))
	}
	for i, want := range [][]string{{"u0", "u1"}, {"u2", "u3"}, {"u4"}} {
		select {
		case <-q.ready:
		default:
			t.Fatalf("users wait, but the queue is not ready for take %d", i)
		}
		if got := usersOf(q.take(2)); !slices.Equal(got, want) {
			t.Errorf("take %d got %v, want %v", i, got, want)
		}
	}
	select {
	case <-q.ready:
		t.Error("the queue is empty, but ready")
	default:
	}
}

// Refreshes that are coalesced go on in the trace of the oldest, linked with the others'.
func TestQueueJoinsTraces(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := stream.NewTracer(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	q := newQueue(10)
	for i := range int64(4) {
		p := refreshOf("ann", i, 100*i)
		if p.queued = time.UnixMilli(i); i > 0 {
			p.trace = tracer.Process(t.Context(), kafka.Message{Topic: "refreshes", Offset: i})
		}
		q.add(p)
	}
	waiting := q.take(1)[0]
	if ended := exporter.GetSpans(); len(ended) != 2 || !waiting.trace.Recording() || waiting.queued != time.UnixMilli(1) {
		t.Fatalf("of three traces, %d have ended, and the user waits since %v; want those of the newer two, and the time of the oldest", len(ended), waiting.queued)
	}
	waiting.trace.End()
	spans := exporter.GetSpans()
	for _, newer := range spans[:2] {
		if len(newer.Links) != 1 || newer.Links[0].SpanContext.SpanID() != spans[2].SpanContext.SpanID() {
			t.Errorf("a newer trace has links %v, want one with the oldest", newer.Links)
		}
	}
	if len(spans[2].Links) != 2 {
		t.Errorf("the oldest trace has links %v, want those with the two newer ones", spans[2].Links)
	}
}

func TestQueueCoalesces(t *testing.T) {
	q, tr := newQueue(10), newTracker()
	first := refreshOf("ann", 3, 100)
	first.ticket = tr.add(0, 7)
	q.add(first)
	q.add(refreshOf("bob", 1))
	second := refreshOf("ann", 5, 200, 300)
	second.ticket = tr.add(0, 8)
	if superseded, coalesced := q.add(second); !coalesced || superseded != first.ticket {
		t.Errorf("got ticket %v, coalesced %t; want that of the first refresh", superseded, coalesced)
	}

	batch := q.take(10)
	if got := usersOf(batch); !slices.Equal(got, []string{"ann", "bob"}) {
		t.Fatalf("took %v, want ann to keep her place before bob", got)
	}
	ann := batch[0]
	if ann.refresh.SequenceVersion != 5 || ann.ticket != second.ticket {
		t.Errorf("got version %d and ticket %v, want those of the newer refresh", ann.refresh.SequenceVersion, ann.ticket)
	}
	if want := []int64{100, 200, 300}; !slices.Equal(ann.refresh.ProducedAt, want) {
		t.Errorf("got the times %v, want %v", ann.refresh.ProducedAt, want)
	}
	if _, coalesced := q.add(refreshOf("ann", 6)); coalesced {
		t.Error("a user who was taken must get a new place")
	}
}

func TestQueueBoundsProducedAt(t *testing.T) {
	q := newQueue(10)
	for i := range int64(3 * stream.MaxProducedAt) {
		q.add(refreshOf("ann", i, i))
	}
	times := q.take(1)[0].refresh.ProducedAt
	if len(times) != stream.MaxProducedAt || times[0] != 0 {
		t.Errorf("got %d times from %d on, want the first %d", len(times), times[0], stream.MaxProducedAt)
	}
}

func TestQueueAwaitsRoom(t *testing.T) {
	q := newQueue(2)
	q.add(refreshOf("ann", 1))
	if err := q.awaitRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.add(refreshOf("bob", 1))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.awaitRoom(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("awaitRoom on a full queue returned %v, want it to wait for the context's end", err)
	}
	done := make(chan error, 1)
	go func() { done <- q.awaitRoom(t.Context()) }()
	q.take(1)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
