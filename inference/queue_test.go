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

func refreshOf(user string, version int64, producedAt ...int64) *pending {
	return &pending{refresh: stream.Refresh{User: user, SequenceVersion: version, ProducedAt: producedAt}}
}

func usersOf(batch []*pending) []string {
	var users []string
	for _, p := range batch {
		users = append(users, p.refresh.User)
	}
	return users
}

func TestQueueIsFIFO(t *testing.T) {
	q := newQueue(10)
	for i := range 5 {
		q.tryAdd(refreshOf(fmt.Sprint("u", i), 1))
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

// Coalesced refreshes continue the trace of the oldest one, linked with those of the others.
func TestQueueCoalescesTraces(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := stream.NewTracer(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	q := newQueue(10)
	for i := range int64(4) {
		p := refreshOf("ann", i, 100*i)
		if p.queued = time.UnixMilli(i); i > 0 {
			p.span = tracer.StartProcess(t.Context(), kafka.Message{Topic: "refreshes", Offset: i})
		}
		q.tryAdd(p)
	}
	waiting := q.take(1)[0]
	if ended := exporter.GetSpans(); len(ended) != 2 || !waiting.span.Recording() || waiting.queued != time.UnixMilli(1) {
		t.Fatalf("of three traces, %d have ended, and the user has waited since %v; want the newer two to end, and the time of the oldest", len(ended), waiting.queued)
	}
	waiting.span.End()
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
	q, o := newQueue(10), newOffsetTracker()
	first := refreshOf("ann", 3, 100)
	first.offset = o.add(7)
	q.tryAdd(first)
	q.tryAdd(refreshOf("bob", 1))
	second := refreshOf("ann", 5, 200, 300)
	second.offset = o.add(8)
	if _, superseded, coalesced := q.tryAdd(second); !coalesced || superseded != first.offset {
		t.Errorf("got offset %v, coalesced %t; want that of the first refresh", superseded, coalesced)
	}

	batch := q.take(10)
	if got := usersOf(batch); !slices.Equal(got, []string{"ann", "bob"}) {
		t.Fatalf("took %v, want ann to stay before bob", got)
	}
	ann := batch[0]
	if ann.refresh.SequenceVersion != 5 || ann.offset != second.offset {
		t.Errorf("got version %d and offset %v, want those of the newer refresh", ann.refresh.SequenceVersion, ann.offset)
	}
	if want := []int64{100, 200, 300}; !slices.Equal(ann.refresh.ProducedAt, want) {
		t.Errorf("got the times %v, want %v", ann.refresh.ProducedAt, want)
	}
	if _, _, coalesced := q.tryAdd(refreshOf("ann", 6)); coalesced {
		t.Error("a refresh was coalesced with one that is already in a batch")
	}
}

// A user is in one batch at a time: later refreshes are held, coalesced, and queued when the batch is
// released.
func TestQueueHoldsUsersInBatches(t *testing.T) {
	q, o := newQueue(10), newOffsetTracker()
	q.tryAdd(refreshOf("ann", 1, 100))
	taken := q.take(10)
	third := refreshOf("ann", 3, 300)
	second := refreshOf("ann", 2, 200)
	second.offset = o.add(7)
	if _, _, coalesced := q.tryAdd(second); coalesced || q.len() != 1 {
		t.Errorf("the first held refresh is coalesced (%t), or does not count as waiting (%d)", coalesced, q.len())
	}
	if _, older, coalesced := q.tryAdd(third); !coalesced || older != second.offset || q.len() != 1 {
		t.Errorf("the second held refresh: coalesced %t with %v, %d users wait; want the first one, and one user", coalesced, older, q.len())
	}
	q.tryAdd(refreshOf("bob", 1, 1))
	batch := q.take(10)
	if got := usersOf(batch); !slices.Equal(got, []string{"bob"}) {
		t.Fatalf("took %v while ann is in a batch, want bob alone", got)
	}
	q.release(taken)
	again := q.take(10)
	if got := usersOf(again); !slices.Equal(got, []string{"ann"}) {
		t.Fatalf("took %v after ann's batch, want ann", got)
	}
	if want := []int64{200, 300}; again[0].refresh.SequenceVersion != 3 || !slices.Equal(again[0].refresh.ProducedAt, want) {
		t.Errorf("got version %d and the times %v, want 3 and %v", again[0].refresh.SequenceVersion, again[0].refresh.ProducedAt, want)
	}
	q.release(batch)
	q.release(again)
	if q.len() != 0 || len(q.inBatch) != 0 {
		t.Errorf("%d users wait and %d are in batches, want none", q.len(), len(q.inBatch))
	}
}

// The refreshes of a revoked partition are left to its next owner.
func TestQueueDropsRevokedPartitions(t *testing.T) {
	q, revoked, kept := newQueue(10), newOffsetTracker(), newOffsetTracker()
	of := func(o *offsetTracker, user string, number int64) *pending {
		p := refreshOf(user, 1, number)
		p.offset = o.add(number)
		return p
	}
	q.tryAdd(of(revoked, "in batch", 0))
	taken := q.take(10)
	q.tryAdd(of(revoked, "in batch", 1))
	q.tryAdd(of(revoked, "ann", 2))
	q.tryAdd(of(kept, "bob", 0))
	q.dropPartition(revoked)
	if q.len() != 1 {
		t.Errorf("%d users wait, want bob alone", q.len())
	}
	q.release(taken)
	if got := usersOf(q.take(10)); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("took %v, want bob alone", got)
	}
}

func TestQueueBoundsProducedAt(t *testing.T) {
	q := newQueue(10)
	for i := range int64(3 * stream.MaxProducedAt) {
		q.tryAdd(refreshOf("ann", i, i))
	}
	times := q.take(1)[0].refresh.ProducedAt
	if len(times) != stream.MaxProducedAt || times[0] != 0 {
		t.Errorf("got %d times from %d on, want the first %d", len(times), times[0], stream.MaxProducedAt)
	}
}

func TestQueueAwaitsRoom(t *testing.T) {
	q := newQueue(2)
	q.tryAdd(refreshOf("ann", 1))
	q.tryAdd(refreshOf("bob", 1))
	if _, coalesced, err := q.add(t.Context(), refreshOf("ann", 2)); err != nil || !coalesced {
		t.Errorf("a waiting user needs no room: coalesced %t, error %v", coalesced, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := q.add(ended, refreshOf("carol", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("add to a full queue returned %v, want the error of the context", err)
	}
	done := make(chan error)
	for _, user := range []string{"carol", "dora"} { // two partitions wait
		go func() {
			_, _, err := q.add(t.Context(), refreshOf(user, 1))
			done <- err
		}()
	}
	q.take(2)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if q.len() != 2 {
		t.Errorf("%d users wait, want 2", q.len())
	}
}
