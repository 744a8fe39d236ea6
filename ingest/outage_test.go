package ingest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRedisOutage(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.event("ann", "apple", 0))
	h.finished(r, 1)

	h.servers.StopRedis()
	h.produce(h.event("ann", "beer", 1), h.event("bob", "bread", 0))
	h.awaitAppendFailure(r)
	if n := h.committed(); n != 1 {
		t.Errorf("%d messages are committed during the outage, want the 1 before it", n)
	}
	h.restartRedis()
	h.finished(r, 3)
	r.Stop()

	h.wantItems("ann", "apple beer")
	h.wantItems("bob", "bread")
	h.wantRefreshed("ann")
	h.wantRefreshed("bob")
}

func TestStopDuringRedisOutage(t *testing.T) {
	h := newHarness(t)
	h.servers.StopRedis()
	h.produce(h.event("ann", "apple", 0))
	stopped := h.run()
	h.awaitAppendFailure(stopped)
	stopped.Stop()
	if n := h.committed(); n != 0 {
		t.Fatalf("%d messages are committed while Redis was down", n)
	}

	h.restartRedis()
	next := h.run()
	h.finished(next, 1)
	next.Stop()
	h.wantItems("ann", "apple")
	h.wantRefreshed("ann")
}

func (h *harness) awaitAppendFailure(r *running) {
	h.t.Helper()
	h.eventually(func() string {
		if r.sessions.failures.Load() == 0 {
			return "no append has failed"
		}
		return ""
	})
}

func (h *harness) restartRedis() {
	h.t.Helper()
	h.servers.RestartRedis()
}

func TestKafkaOutage(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.event("ann", "apple", 0))
	h.finished(r, 1)

	outage := h.startKafkaOutage()
	outage.awaitFailures(h)
	outage.down.Store(false)
	h.produce(h.event("ann", "beer", 1))
	h.finished(r, 2)
	r.Stop()

	h.wantItems("ann", "apple beer")
	h.wantRefreshed("ann")
	if n := h.committed(); n != 2 {
		t.Errorf("%d messages are committed, want 2", n)
	}
}

func TestStopDuringKafkaOutage(t *testing.T) {
	h := newHarness(t)
	r := h.run()
	h.produce(h.event("ann", "apple", 0))
	h.finished(r, 1)
	h.startKafkaOutage().awaitFailures(h)
	r.Stop()
}

// kafkaOutage closes the connection at every request while down is set.
type kafkaOutage struct {
	down   atomic.Bool
	failed atomic.Int64
}

func (h *harness) startKafkaOutage() *kafkaOutage {
	var o kafkaOutage
	o.down.Store(true)
	h.servers.Faults().Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		h.servers.Faults().KeepControl()
		if !o.down.Load() {
			return nil, nil, false
		}
		o.failed.Add(1)
		return nil, errors.New("down"), true
	})
	return &o
}

// awaitFailures waits until enough requests have failed that an Ingester has lost its connections
// and its group membership.
func (o *kafkaOutage) awaitFailures(h *harness) {
	h.t.Helper()
	h.eventually(func() string {
		if o.failed.Load() < 10 {
			return "too few requests have failed"
		}
		return ""
	})
}
