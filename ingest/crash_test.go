package ingest

import (
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// A crash between any two steps of a batch loses nothing: the next Ingester repeats the batch.
func TestCrashBetweenSteps(t *testing.T) {
	always := func(f kfake.Fault) kfake.Fault {
		f.Count = -1
		return f
	}
	topics := stream.DefaultTopics()
	tests := []struct {
		name                    string
		fault                   kfake.Fault
		refreshed, deadLettered int // messages before the crash
	}{
		{
			name:  "before the refreshes",
			fault: always(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topics.Refreshes, Err: kerr.NotEnoughReplicas}),
		},
		{
			name:      "before the dead letters",
			fault:     always(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topics.DeadLetters, Err: kerr.NotEnoughReplicas}),
			refreshed: 1,
		},
		{
			name:      "before the commit",
			fault:     always(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultGroup, Err: kerr.CoordinatorLoadInProgress}),
			refreshed: 1, deadLettered: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			fault := h.servers.Faults().Fault(test.fault)
			h.produce(h.event("ann", "apple", 0), kafka.Message{Key: []byte("ann"), Value: []byte("{")}, h.event("ann", "beer", 1))

			crashed := h.runInBatches(3, embeddedtest.Timeout)
			h.eventually(func() string {
				if fault.Hits() == 0 {
					return "the fault was not triggered"
				}
				return ""
			})
			crashed.Stop()
			h.wantItems("ann", "apple beer")
			if n := len(h.messages(topics.Refreshes)); n != test.refreshed {
				t.Errorf("%d refreshes were written before the crash, want %d", n, test.refreshed)
			}
			if n := len(h.messages(topics.DeadLetters)); n != test.deadLettered {
				t.Errorf("%d dead letters were written before the crash, want %d", n, test.deadLettered)
			}
			if n := h.committed(); n != 0 {
				t.Fatalf("%d messages were committed before the batch was finished", n)
			}

			fault.Remove()
			next := h.run()
			h.finished(next, 3)
			next.Stop()
			h.wantItems("ann", "apple beer")
			h.wantRefreshed("ann")
			if n := h.committed(); n != 3 {
				t.Errorf("%d messages are committed, want 3", n)
			}
			if n := len(h.messages(topics.DeadLetters)); n != test.deadLettered+1 {
				t.Errorf("there are %d dead letters, want one more than the %d before the crash", n, test.deadLettered)
			}
		})
	}
}

func TestCommitIsRetried(t *testing.T) {
	h := newHarness(t)
	fault := h.servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultGroup, Err: kerr.CoordinatorNotAvailable, Count: 4,
	})
	r := h.run()
	h.produce(h.event("ann", "apple", 0))
	h.finished(r, 1)
	r.Stop()
	if fault.Hits() != 4 || h.committed() != 1 {
		t.Errorf("after %d failed commits %d messages are committed, want 4 and 1", fault.Hits(), h.committed())
	}
}
