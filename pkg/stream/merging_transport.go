package stream

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
	metadataapi "github.com/segmentio/kafka-go/protocol/metadata"
	produceapi "github.com/segmentio/kafka-go/protocol/produce"
)

// mergingTransport merges the fetch and produce requests that are made for several partitions of a
// topic at about the same time, which kafka-go's client does not: a broker's CPU time goes to
// requests rather than to the partitions in them. The first request is sent at once. Requests
// within a pause after it are queued until the pause has passed, and then sent as one request to
// each broker.
type mergingTransport struct {
	next       kafka.RoundTripper
	fetchPause func() time.Duration

	mu     sync.Mutex
	queues map[queueKey]*requestQueue
}

// queueKey is what requests in a queue have in common.
type queueKey struct {
	cluster string // bootstrap brokers
	topic   string
	api     protocol.ApiKey
}

// producePause is how long produce requests wait for those of other partitions. With fewer cores,
// requests are more expensive, and the pause is longer.
var producePause = max(time.Millisecond, 10*time.Millisecond/time.Duration(runtime.GOMAXPROCS(0)))

// newMergingTransport returns a mergingTransport on top of next. fetchPause is the pause between
// two fetch requests; nil: none.
func newMergingTransport(next kafka.RoundTripper, fetchPause func() time.Duration) *mergingTransport {
	if fetchPause == nil {
		fetchPause = func() time.Duration { return 0 }
	}
	return &mergingTransport{next: next, fetchPause: fetchPause, queues: make(map[queueKey]*requestQueue)}
}

func (m *mergingTransport) queue(addr net.Addr, r mergeable) *requestQueue {
	key := queueKey{addr.String(), r.topic(), r.ApiKey()}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[key]
	if q == nil {
		q = &requestQueue{pause: func() time.Duration { return producePause }}
		if key.api == protocol.Fetch {
			q.pause = m.fetchPause
		}
		m.queues[key] = q
	}
	return q
}

// RoundTrip sends a request and returns its response.
func (m *mergingTransport) RoundTrip(ctx context.Context, addr net.Addr, r kafka.Request) (kafka.Response, error) {
	switch r := r.(type) {
	case *fetchapi.Request:
		if len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 {
			return m.enqueue(ctx, addr, fetchRequest{r})
		}
	case *produceapi.Request:
		if len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 && r.HasResponse() && r.TransactionalID == "" {
			return m.enqueue(ctx, addr, produceRequest{r})
		}
	}
	return m.next.RoundTrip(ctx, addr, r)
}

// mergeable is a request for one partition.
type mergeable interface {
	kafka.Request
	topic() string
	partition() int32
	// options returns a comparable value; requests can be merged if theirs are equal.
	options() any
	// merge returns one request for all of these, which have the API, topic and options of this one.
	merge(all []mergeable) kafka.Request
	// extract returns the part of the response to a merged request that belongs to this one.
	extract(merged kafka.Response) kafka.Response
}

// requestQueue holds requests until they are sent.
type requestQueue struct {
	pause func() time.Duration

	mu       sync.Mutex
	pending  []*pendingRequest
	lastSent time.Time
}

// pendingRequest is a request whose caller waits for the response.
type pendingRequest struct {
	mergeable
	ctx    context.Context
	result chan roundTripResult // buffered: the caller may have gone
}

type roundTripResult struct {
	response kafka.Response
	err      error
}

func (m *mergingTransport) enqueue(ctx context.Context, addr net.Addr, r mergeable) (kafka.Response, error) {
	q := m.queue(addr, r)
	p := &pendingRequest{mergeable: r, ctx: ctx, result: make(chan roundTripResult, 1)}
	q.mu.Lock()
	q.pending = append(q.pending, p)
	if len(q.pending) == 1 {
		//nolint:contextcheck // the merged request outlives ctx while other requests wait for it
		time.AfterFunc(time.Until(q.lastSent.Add(q.pause())), func() { m.send(addr, q.takeAll()) })
	}
	q.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-p.result:
		return result.response, result.err
	}
}

func (q *requestQueue) takeAll() []*pendingRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.pending
	q.pending, q.lastSent = nil, time.Now()
	return taken
}

// send merges requests into as few as possible and sends these concurrently.
func (m *mergingTransport) send(addr net.Addr, pending []*pendingRequest) {
	for _, group := range m.groups(addr, pending) {
		go m.sendMerged(addr, group)
	}
}

func (m *mergingTransport) sendMerged(addr net.Addr, group []*pendingRequest) {
	ctx, cancel := contextOfAll(group)
	defer cancel()
	all := make([]mergeable, len(group))
	for i, p := range group {
		all[i] = p.mergeable
	}
	merged, err := m.next.RoundTrip(ctx, addr, all[0].merge(all))
	for _, p := range group {
		if err != nil {
			p.result <- roundTripResult{err: err}
		} else {
			p.result <- roundTripResult{response: p.extract(merged)}
		}
	}
}

// contextOfAll returns a context that is canceled when the contexts of all requests have ended.
func contextOfAll(group []*pendingRequest) (context.Context, context.CancelFunc) {
	ctx, cancel := withLatestDeadline(group)
	var mu sync.Mutex
	left := len(group)
	stops := make([]func() bool, len(group))
	for i, p := range group {
		stops[i] = context.AfterFunc(p.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// withLatestDeadline returns a context with the latest deadline of the requests, which kafka-go
// sets on the connection.
func withLatestDeadline(group []*pendingRequest) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(group[0].ctx)
	var latest time.Time
	for _, p := range group {
		deadline, limited := p.ctx.Deadline()
		if !limited {
			return context.WithCancel(ctx)
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(ctx, latest)
}

// groups splits requests into those that can be merged: with the same leader and options, and no
// two for the same partition.
func (m *mergingTransport) groups(addr net.Addr, pending []*pendingRequest) (groups [][]*pendingRequest) {
	if len(pending) == 1 {
		return [][]*pendingRequest{pending}
	}
	type groupKey struct {
		leader  int32
		options any
	}
	type openGroup struct {
		index      int // in groups
		partitions map[int32]bool
	}
	leaders, opened := m.leaders(addr, pending), make(map[groupKey]*openGroup)
	for _, p := range pending {
		leader, known := leaders[p.partition()]
		if !known {
			groups = append(groups, []*pendingRequest{p}) // the next transport returns the error
			continue
		}
		key := groupKey{leader, p.options()}
		g := opened[key]
		if g == nil || g.partitions[p.partition()] {
			g = &openGroup{index: len(groups), partitions: make(map[int32]bool)}
			groups, opened[key] = append(groups, nil), g
		}
		groups[g.index], g.partitions[p.partition()] = append(groups[g.index], p), true
	}
	return groups
}

// leaders returns the broker ids of the partition leaders, as far as they are known.
func (m *mergingTransport) leaders(addr net.Addr, pending []*pendingRequest) map[int32]int32 {
	ctx, cancel := contextOfAll(pending)
	defer cancel()
	leaders := make(map[int32]int32)
	request := &metadataapi.Request{TopicNames: []string{pending[0].topic()}}
	response, err := m.next.RoundTrip(ctx, addr, request) // kafka.Transport answers from its cache
	if err != nil {
		return leaders // each request will meet the error itself
	}
	for _, t := range response.(*metadataapi.Response).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				leaders[p.PartitionIndex] = p.LeaderID
			}
		}
	}
	return leaders
}

// fetchRequest is a fetch request for one partition.
type fetchRequest struct{ *fetchapi.Request }

func (r fetchRequest) topic() string    { return r.Topics[0].Topic }
func (r fetchRequest) partition() int32 { return r.Topics[0].Partitions[0].Partition }

func (r fetchRequest) options() any {
	return [...]int32{r.MaxWaitTime, r.MinBytes, int32(r.IsolationLevel)}
}

func (r fetchRequest) merge(all []mergeable) kafka.Request {
	merged, topic := *r.Request, fetchapi.RequestTopic{Topic: r.topic()}
	merged.MaxBytes = 0
	for _, one := range all {
		merged.MaxBytes += one.(fetchRequest).MaxBytes
		topic.Partitions = append(topic.Partitions, one.(fetchRequest).Topics[0].Partitions[0])
	}
	merged.Topics = []fetchapi.RequestTopic{topic}
	return &merged
}

func (r fetchRequest) extract(merged kafka.Response) kafka.Response {
	response := *merged.(*fetchapi.Response)
	topics := response.Topics
	response.Topics = nil
	for _, t := range topics {
		at := slices.IndexFunc(t.Partitions, func(p fetchapi.ResponsePartition) bool { return p.Partition == r.partition() })
		if at >= 0 {
			response.Topics = []fetchapi.ResponseTopic{{Topic: t.Topic, Partitions: t.Partitions[at : at+1]}}
		}
	}
	return &response
}

// produceRequest is a produce request for one partition.
type produceRequest struct{ *produceapi.Request }

func (r produceRequest) topic() string    { return r.Topics[0].Topic }
func (r produceRequest) partition() int32 { return r.Topics[0].Partitions[0].Partition }
func (r produceRequest) options() any     { return r.Acks }

func (r produceRequest) merge(all []mergeable) kafka.Request {
	merged, topic := *r.Request, produceapi.RequestTopic{Topic: r.topic()}
	for _, one := range all {
		topic.Partitions = append(topic.Partitions, one.(produceRequest).Topics[0].Partitions[0])
	}
	merged.Topics = []produceapi.RequestTopic{topic}
	return &merged
}

func (r produceRequest) extract(merged kafka.Response) kafka.Response {
	response := *merged.(*produceapi.Response)
	topics := response.Topics
	response.Topics = nil
	for _, t := range topics {
		at := slices.IndexFunc(t.Partitions, func(p produceapi.ResponsePartition) bool { return p.Partition == r.partition() })
		if at >= 0 {
			response.Topics = []produceapi.ResponseTopic{{Topic: t.Topic, Partitions: t.Partitions[at : at+1]}}
		}
	}
	return &response
}
