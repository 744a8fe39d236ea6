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
	h.failsToAppend(r)
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
	h.failsToAppend(stopped)
	stopped.Stop()
	if n := h.committed(); n != 0 {
		t.Fatalf("%d messages are committed although Redis was away", n)
	}

	h.restartRedis()
	next := h.run()
	h.finished(next, 1)
	next.Stop()
	h.wantItems("ann", "apple")
	h.wantRefreshed("ann")
}

func (h *harness) failsToAppend(r *running) {
	h.t.Helper()
	h.eventually(func() string {
		if r.sessions.failures.Load() == 0 {
			return "the Ingester did not meet the outage of Redis"
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
	outage.met(h)
	outage.away.Store(false)
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
	h.startKafkaOutage().met(h)
	r.Stop()
}

// kafkaOutage is a broker that hangs up at every request.
type kafkaOutage struct {
	away    atomic.Bool
	refused atomic.Int64
}

func (h *harness) startKafkaOutage() *kafkaOutage {
	var o kafkaOutage
	o.away.Store(true)
	h.servers.Faults().Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		h.servers.Faults().KeepControl()
		if !o.away.Load() {
			return nil, nil, false
		}
		o.refused.Add(1)
		return nil, errors.New("away"), true
	})
	return &o
}

// met waits until an Ingester has failed often enough to have lost its
// connections and its place in the group.
func (o *kafkaOutage) met(h *harness) {
	h.t.Helper()
	h.eventually(func() string {
		if o.refused.Load() < 10 {
			return "the Ingester did not meet the outage of Kafka"
		}
		return ""
	})
}
