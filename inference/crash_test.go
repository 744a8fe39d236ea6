package inference

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func TestCrashBetweenWriteAndCommit(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	fault := h.servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultGroup, Err: kerr.CoordinatorLoadInProgress, Count: -1,
	})
	crashed := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitWritten(crashed, 1)
	h.eventually(func() string {
		if fault.Hits() == 0 {
			return "the Worker did not try to commit"
		}
		return ""
	})
	crashed.Stop()
	first := h.wantList("ann", "v1:apple")
	if n := h.committed(); n != 0 {
		t.Fatalf("%d messages are committed, although commits fail", n)
	}

	fault.Remove()
	next := h.run()
	h.awaitCommitted(1)
	next.Stop()
	if s := next.Stats(); s.Read != 1 || s.Skipped != 1 {
		t.Errorf("got %+v, want the redelivered refresh to be skipped", s)
	}
	if again := h.wantList("ann", "v1:apple"); again.RecID != first.RecID {
		t.Error("a list that was up to date was written again")
	}
}

func TestStopAbandonsTheBatch(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	started := make(chan struct{})
	h.models.hook = func(ctx context.Context, _ []Request) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}
	stopped := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	<-started
	stopped.Stop()
	h.wantOpen()
	if n, dead := h.committed(), h.countDeadLetters(); n != 0 || dead != 0 {
		t.Fatalf("%d messages are committed and %d dead-lettered although the batch was abandoned", n, dead)
	}

	h.models.hook = nil
	next := h.run()
	h.awaitWritten(next, 1)
	h.awaitCommitted(1)
	next.Stop()
	h.wantList("ann", "v1:apple")
}

// TestStaleListIsNotWritten lets another worker overtake this one.
func TestStaleListIsNotWritten(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	h.models.hook = func(ctx context.Context, _ []Request) error {
		newer := sessions.UserEvents{User: "ann", Events: []event.Event{{ID: "e9", Item: "beer", Type: event.DefaultType, Time: time.UnixMilli(9)}}}
		if _, err := h.store.Append(ctx, []sessions.UserEvents{newer}); err != nil {
			return err
		}
		_, err := h.store.PutLists(ctx, []userstate.List{{
			RecID: "other", User: "ann", ModelVersion: "v1", SequenceVersion: 2, Source: userstate.SourceModel,
			Items: []userstate.ScoredItem{{Item: "newer", Score: 1}},
		}})
		return err
	}
	r := h.run(func(c *Config) {
		c.OnWritten = func(w Written) { t.Errorf("%+v is reported as written", w) }
	})
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitCount(r, "stale results", 1, func(s Stats) int64 { return s.Stale })
	h.awaitCommitted(1)
	r.Stop()
	h.wantList("ann", "newer")
}

func TestRedisOutage(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitWritten(r, 1)
	h.awaitCommitted(1)

	refreshes := h.appendEvents("ann", "beer")
	h.servers.StopRedis()
	h.produce(refreshes)
	h.awaitCount(r, "refreshes read", 2, func(s Stats) int64 { return s.Read })
	h.awaitPolls(20)
	if n := h.committed(); n != 1 {
		t.Errorf("%d messages are committed during the outage, want the 1 before it", n)
	}
	h.servers.RestartRedis()
	h.awaitWritten(r, 2)
	h.awaitCommitted(2)
	r.Stop()
	h.wantList("ann", "v1:apple beer")
}

func TestStopDuringRedisOutage(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	refresh := h.appendEvents("ann", "apple")
	h.servers.StopRedis()
	r := h.run()
	h.produce(refresh)
	h.awaitCount(r, "refreshes read", 1, func(s Stats) int64 { return s.Read })
	r.Stop()
	h.wantOpen()
	if n := h.committed(); n != 0 {
		t.Errorf("%d messages are committed although Redis was down", n)
	}
}

func TestCommitIsRetried(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	fault := h.servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultGroup, Err: kerr.CoordinatorNotAvailable, Count: 4,
	})
	r := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitCommitted(1)
	r.Stop()
	if fault.Hits() != 4 {
		t.Errorf("%d commits failed, want 4", fault.Hits())
	}
}
