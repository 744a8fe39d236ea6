package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"genrec/pkg/stream"
)

const (
	tick = 5 * time.Millisecond // interval of sending due events, as by a producer with linger.ms=5
	// maxUnsent is the number of due and unacknowledged events, in seconds of events, above which the
	// generator is the bottleneck.
	maxUnsent = 1
)

// generator is an open-loop load generator: it produces events on a schedule, whether or not the system keeps
// up.
type generator struct {
	client   *kgo.Client
	workload *workload
	rate     float64 // events per second
	// onEvent, unless it is nil, is called for each event with its due time, the index of its user, and the
	// version of the user's sequence after appending it.
	onEvent func(due time.Time, user int, version int64)

	start        time.Time // of the schedule
	acknowledged atomic.Int64
	err          atomic.Pointer[error]
}

// newProducer returns a producer whose requests contain several partitions, as those of Kafka's Java client.
func newProducer(cluster stream.Cluster) (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(cluster.Brokers...), kgo.DefaultProduceTopic(stream.DefaultTopics().Interactions),
		kgo.ProducerLinger(time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(1<<21), kgo.MaxBufferedBytes(1<<30),
	)
}

// run produces from g.start until stop is closed or the context ends.
func (g *generator) run(ctx context.Context, stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := int64(0); ; {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			for due := g.dueAt(time.Now()); n < due; n++ {
				g.produce(ctx, g.start.Add(time.Duration(float64(n+1)/g.rate*float64(time.Second))))
			}
		}
	}
}

// dueAt returns the number of events that are due.
func (g *generator) dueAt(now time.Time) int64 { return int64(now.Sub(g.start).Seconds() * g.rate) }

// produce sends an event without waiting for it.
func (g *generator) produce(ctx context.Context, due time.Time) {
	e, user := g.workload.next(due)
	value, err := json.Marshal(e)
	if err != nil {
		g.err.CompareAndSwap(nil, &err)
		return
	}
	if g.onEvent != nil {
		g.onEvent(due, user, g.workload.versions[user])
	}
	g.client.TryProduce(ctx, &kgo.Record{Key: []byte(e.User), Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			g.err.CompareAndSwap(nil, &err)
			return
		}
		g.acknowledged.Add(1)
	})
}

func (g *generator) failure() error {
	if err := g.err.Load(); err != nil {
		return fmt.Errorf("produce events: %w", *err)
	}
	return nil
}

// burst produces n events without a schedule and waits until Kafka has acknowledged them.
func (g *generator) burst(ctx context.Context, n int) error {
	for range n {
		g.produce(ctx, time.Now())
	}
	if err := g.client.Flush(ctx); err != nil {
		return err
	}
	return g.failure()
}
