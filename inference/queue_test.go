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

// Refreshes that are coalesced go on in the trace of the oldest, linked with the others'.
func TestQueueJoinsTraces(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := stream.NewTracer(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	q := newQueue(10)
	for i := range int64(4) {
		p := refreshOf("ann", i, 100*i)
		if p.queued = time.UnixMilli(i); i > 0 {
			p.trace = tracer.StartProcess(t.Context(), kafka.Message{Topic: "refreshes", Offset: i})
		}
		q.tryAdd(p)
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
	q, o := newQueue(10), newOffsets()
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
		t.Fatalf("took %v, want ann to keep her place before bob", got)
	}
	ann := batch[0]
	if ann.refresh.SequenceVersion != 5 || ann.offset != second.offset {
		t.Errorf("got version %d and offset %v, want those of the newer refresh", ann.refresh.SequenceVersion, ann.offset)
	}
	if want := []int64{100, 200, 300}; !slices.Equal(ann.refresh.ProducedAt, want) {
		t.Errorf("got the times %v, want %v", ann.refresh.ProducedAt, want)
	}
	if _, _, coalesced := q.tryAdd(refreshOf("ann", 6)); coalesced {
		t.Error("a refresh of a user who was taken is not coalesced with the one that is under way")
	}
}

// A user is in one batch at a time: what comes meanwhile is held, coalesced, and takes its
// turn when the batch is written.
func TestQueueHoldsUsersWhoAreTaken(t *testing.T) {
	q, o := newQueue(10), newOffsets()
	q.tryAdd(refreshOf("ann", 1, 100))
	taken := q.take(10)
	third := refreshOf("ann", 3, 300)
	second := refreshOf("ann", 2, 200)
	second.offset = o.add(7)
	if _, _, coalesced := q.tryAdd(second); coalesced || q.len() != 1 {
		t.Errorf("the first refresh that is held is coalesced (%t), or does not count as waiting (%d)", coalesced, q.len())
	}
	if _, older, coalesced := q.tryAdd(third); !coalesced || older != second.offset || q.len() != 1 {
		t.Errorf("the second refresh that is held: coalesced %t with %v, %d users wait; want the first one, and one user", coalesced, older, q.len())
	}
	q.tryAdd(refreshOf("bob", 1, 1))
	batch := q.take(10)
	if got := usersOf(batch); !slices.Equal(got, []string{"bob"}) {
		t.Fatalf("took %v while ann is under way, want bob alone", got)
	}
	q.written(taken)
	again := q.take(10)
	if got := usersOf(again); !slices.Equal(got, []string{"ann"}) {
		t.Fatalf("took %v after ann's batch, want her", got)
	}
	if want := []int64{200, 300}; again[0].refresh.SequenceVersion != 3 || !slices.Equal(again[0].refresh.ProducedAt, want) {
		t.Errorf("got version %d and the times %v, want 3 and %v", again[0].refresh.SequenceVersion, again[0].refresh.ProducedAt, want)
	}
	q.written(batch)
	q.written(again)
	if q.len() != 0 || len(q.taken) != 0 {
		t.Errorf("%d users wait and %d are under way, want none", q.len(), len(q.taken))
	}
}

// What waits of a partition that was lost is its next owner's business.
func TestQueueDropsLostPartitions(t *testing.T) {
	q, lost, kept := newQueue(10), newOffsets(), newOffsets()
	of := func(o *offsets, user string, number int64) *pending {
		p := refreshOf(user, 1, number)
		p.offset = o.add(number)
		return p
	}
	q.tryAdd(of(lost, "under way", 0))
	taken := q.take(10)
	q.tryAdd(of(lost, "under way", 1))
	q.tryAdd(of(lost, "ann", 2))
	q.tryAdd(of(kept, "bob", 0))
	q.drop(lost)
	if q.len() != 1 {
		t.Errorf("%d users wait, want bob alone", q.len())
	}
	q.written(taken)
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
		t.Errorf("who waits already needs no room: coalesced %t, error %v", coalesced, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := q.add(ended, refreshOf("carol", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("add to a full queue returned %v, want it to wait for the context's end", err)
	}
	done := make(chan error)
	for _, user := range []string{"carol", "dora"} { // two partitions wait at once
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
