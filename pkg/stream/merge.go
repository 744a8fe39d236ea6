package stream

import (
	"context"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
	metadataapi "github.com/segmentio/kafka-go/protocol/metadata"
	produceapi "github.com/segmentio/kafka-go/protocol/produce"
)

// merger is a transport that sends what is fetched from or produced to several partitions at
// about the same time in one request, as Kafka's protocol allows and kafka-go's client does not:
// a broker's CPU time goes to requests rather than to the partitions in them. The first request
// leaves at once; those that come within a pause after it wait for its end, and go together.
type merger struct {
	next       kafka.RoundTripper
	fetchPause func() time.Duration

	mu         sync.Mutex
	gatherings map[destination]*gathering
}

// destination is what requests have in common that may be one.
type destination struct {
	cluster string // its seed brokers
	topic   string
	kind    protocol.ApiKey
}

// producePause is how long messages may wait for those of other partitions: the longer, the fewer
// cores there are for what requests cost.
var producePause = max(time.Millisecond, 10*time.Millisecond/time.Duration(runtime.GOMAXPROCS(0)))

// newMerger returns a merger that leaves a pause between two requests for messages; nil is none.
func newMerger(next kafka.RoundTripper, fetchPause func() time.Duration) *merger {
	if fetchPause == nil {
		fetchPause = func() time.Duration { return 0 }
	}
	return &merger{next: next, fetchPause: fetchPause, gatherings: make(map[destination]*gathering)}
}

func (m *merger) gathering(addr net.Addr, r mergeable) *gathering {
	d := destination{addr.String(), r.topic(), r.ApiKey()}
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.gatherings[d]
	if g == nil {
		g = &gathering{pause: func() time.Duration { return producePause }}
		if d.kind == protocol.Fetch {
			g.pause = m.fetchPause
		}
		m.gatherings[d] = g
	}
	return g
}

// RoundTrip sends a request and returns its response.
func (m *merger) RoundTrip(ctx context.Context, addr net.Addr, r kafka.Request) (kafka.Response, error) {
	switch r := r.(type) {
	case *fetchapi.Request:
		if len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 {
			return m.gather(ctx, addr, fetchOne{r})
		}
	case *produceapi.Request:
		if len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 && r.HasResponse() && r.TransactionalID == "" {
			return m.gather(ctx, addr, produceOne{r})
		}
	}
	return m.next.RoundTrip(ctx, addr, r)
}

// mergeable is a request about one partition.
type mergeable interface {
	kafka.Request
	topic() string
	partition() int32
	// options are equal for requests that can be one.
	options() any
	// merge returns one request for all of them, which are of the same kind and topic as this one.
	merge(all []mergeable) kafka.Request
	// part returns what belongs to this request of a response to all.
	part(whole kafka.Response) kafka.Response
}

// gathering holds requests that wait to be sent.
type gathering struct {
	pause func() time.Duration

	mu      sync.Mutex
	waiting []*waiter
	last    time.Time // when some were sent
}

// waiter is a request whose response is waited for.
type waiter struct {
	mergeable
	ctx    context.Context
	answer chan answer
}

type answer struct {
	response kafka.Response
	err      error
}

func (m *merger) gather(ctx context.Context, addr net.Addr, r mergeable) (kafka.Response, error) {
	g := m.gathering(addr, r)
	w := &waiter{mergeable: r, ctx: ctx, answer: make(chan answer, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if len(g.waiting) == 1 {
		//nolint:contextcheck // it serves all that come meanwhile, with a context of their own
		time.AfterFunc(time.Until(g.last.Add(g.pause())), func() { m.send(addr, g.take()) })
	}
	g.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-w.answer:
		return a.response, a.err
	}
}

func (g *gathering) take() []*waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.waiting
	g.waiting, g.last = nil, time.Now()
	return taken
}

// send sends requests in as few as possible, all at once.
func (m *merger) send(addr net.Addr, waiting []*waiter) {
	for _, group := range m.groups(addr, waiting) {
		go m.sendAsOne(addr, group)
	}
}

func (m *merger) sendAsOne(addr net.Addr, group []*waiter) {
	ctx, cancel := whileAny(group)
	defer cancel()
	all := make([]mergeable, len(group))
	for i, w := range group {
		all[i] = w.mergeable
	}
	whole, err := m.next.RoundTrip(ctx, addr, all[0].merge(all))
	for _, w := range group {
		if err != nil {
			w.answer <- answer{err: err}
		} else {
			w.answer <- answer{response: w.part(whole)}
		}
	}
}

// whileAny returns a context that ends when nobody waits any more.
func whileAny(group []*waiter) (context.Context, context.CancelFunc) {
	ctx, cancel := untilLast(group)
	var mu sync.Mutex
	left := len(group)
	stops := make([]func() bool, len(group))
	for i, w := range group {
		stops[i] = context.AfterFunc(w.ctx, func() {
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

// untilLast returns a context with the last of the deadlines, which connections get.
func untilLast(group []*waiter) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(group[0].ctx)
	var last time.Time
	for _, w := range group {
		deadline, limited := w.ctx.Deadline()
		if !limited {
			return context.WithCancel(ctx)
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return context.WithDeadline(ctx, last)
}

// groups are the requests that can be one: to one broker, with the same options, and no two of
// the same partition.
func (m *merger) groups(addr net.Addr, waiting []*waiter) (groups [][]*waiter) {
	if len(waiting) == 1 {
		return [][]*waiter{waiting}
	}
	type kind struct {
		leader  int32
		options any
	}
	type open struct {
		at    int // of the group that takes more of a kind
		taken map[int32]bool
	}
	leaders, opened := m.leaders(addr, waiting), make(map[kind]*open)
	for _, w := range waiting {
		leader, known := leaders[w.partition()]
		if !known {
			groups = append(groups, []*waiter{w}) // the transport says why
			continue
		}
		k := kind{leader, w.options()}
		o := opened[k]
		if o == nil || o.taken[w.partition()] {
			o = &open{at: len(groups), taken: make(map[int32]bool)}
			groups, opened[k] = append(groups, nil), o
		}
		groups[o.at], o.taken[w.partition()] = append(groups[o.at], w), true
	}
	return groups
}

// leaders returns the brokers that lead the partitions of a topic, as far as the transport knows.
func (m *merger) leaders(addr net.Addr, waiting []*waiter) map[int32]int32 {
	ctx, cancel := whileAny(waiting)
	defer cancel()
	leaders := make(map[int32]int32)
	request := &metadataapi.Request{TopicNames: []string{waiting[0].topic()}}
	response, err := m.next.RoundTrip(ctx, addr, request) // which it has cached
	if err != nil {
		return leaders // each request meets the error by itself
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

type fetchOne struct{ *fetchapi.Request }

func (r fetchOne) topic() string    { return r.Topics[0].Topic }
func (r fetchOne) partition() int32 { return r.Topics[0].Partitions[0].Partition }

func (r fetchOne) options() any {
	return [...]int32{r.MaxWaitTime, r.MinBytes, int32(r.IsolationLevel)}
}

func (r fetchOne) merge(all []mergeable) kafka.Request {
	whole, topic := *r.Request, fetchapi.RequestTopic{Topic: r.topic()}
	whole.MaxBytes = 0
	for _, one := range all {
		whole.MaxBytes += one.(fetchOne).MaxBytes
		topic.Partitions = append(topic.Partitions, one.(fetchOne).Topics[0].Partitions[0])
	}
	whole.Topics = []fetchapi.RequestTopic{topic}
	return &whole
}

func (r fetchOne) part(whole kafka.Response) kafka.Response {
	part := *whole.(*fetchapi.Response)
	topics := part.Topics
	part.Topics = nil
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Partition == r.partition() {
				part.Topics = []fetchapi.ResponseTopic{{Topic: t.Topic, Partitions: []fetchapi.ResponsePartition{p}}}
			}
		}
	}
	return &part
}

type produceOne struct{ *produceapi.Request }

func (r produceOne) topic() string    { return r.Topics[0].Topic }
func (r produceOne) partition() int32 { return r.Topics[0].Partitions[0].Partition }

func (r produceOne) options() any { return r.Acks }

func (r produceOne) merge(all []mergeable) kafka.Request {
	whole, topic := *r.Request, produceapi.RequestTopic{Topic: r.topic()}
	for _, one := range all {
		topic.Partitions = append(topic.Partitions, one.(produceOne).Topics[0].Partitions[0])
	}
	whole.Topics = []produceapi.RequestTopic{topic}
	return &whole
}

func (r produceOne) part(whole kafka.Response) kafka.Response {
	part := *whole.(*produceapi.Response)
	topics := part.Topics
	part.Topics = nil
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Partition == r.partition() {
				part.Topics = []produceapi.ResponseTopic{{Topic: t.Topic, Partitions: []produceapi.ResponsePartition{p}}}
			}
		}
	}
	return &part
}
