package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
	metadataapi "github.com/segmentio/kafka-go/protocol/metadata"
	produceapi "github.com/segmentio/kafka-go/protocol/produce"
)

// brokers is a transport to brokers that lead the even and the odd partitions of topic "t".
type brokers struct {
	partitions int
	fail       error         // of all requests except for metadata
	hold       chan struct{} // if not nil, requests wait until it is closed

	mu       sync.Mutex
	requests []kafka.Request
	ended    int // requests whose context ended first
}

func (b *brokers) RoundTrip(ctx context.Context, _ net.Addr, r kafka.Request) (kafka.Response, error) {
	if _, ok := r.(*metadataapi.Request); ok {
		topic := metadataapi.ResponseTopic{Name: "t"}
		for p := range int32(b.partitions) {
			topic.Partitions = append(topic.Partitions, metadataapi.ResponsePartition{PartitionIndex: p, LeaderID: p % 2})
		}
		return &metadataapi.Response{Topics: []metadataapi.ResponseTopic{topic}}, nil
	}
	b.mu.Lock()
	b.requests = append(b.requests, r)
	b.mu.Unlock()
	if b.hold != nil {
		select {
		case <-ctx.Done():
			b.mu.Lock()
			b.ended++
			b.mu.Unlock()
			return nil, ctx.Err()
		case <-b.hold:
		}
	}
	if b.fail != nil {
		return nil, b.fail
	}
	switch r := r.(type) {
	case *fetchapi.Request:
		topic := fetchapi.ResponseTopic{Topic: "t"}
		for _, p := range r.Topics[0].Partitions {
			topic.Partitions = append(topic.Partitions, fetchapi.ResponsePartition{Partition: p.Partition, HighWatermark: p.FetchOffset})
		}
		return &fetchapi.Response{Topics: []fetchapi.ResponseTopic{topic}}, nil
	case *produceapi.Request:
		topic := produceapi.ResponseTopic{Topic: "t"}
		for _, p := range r.Topics[0].Partitions {
			partition := produceapi.ResponsePartition{Partition: p.Partition, BaseOffset: int64(p.Partition)}
			if p.Partition == 3 {
				partition.ErrorCode = int16(kafka.MessageSizeTooLarge)
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		return &produceapi.Response{Topics: []produceapi.ResponseTopic{topic}}, nil
	}
	return nil, fmt.Errorf("unexpected request %T", r)
}

func (b *brokers) sent() []kafka.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]kafka.Request(nil), b.requests...)
}

func fetchOf(partition int32, offset int64) *fetchapi.Request {
	return &fetchapi.Request{MaxBytes: 10, MinBytes: 1, Topics: []fetchapi.RequestTopic{{
		Topic: "t", Partitions: []fetchapi.RequestPartition{{Partition: partition, FetchOffset: offset}},
	}}}
}

func produceTo(partition int32) *produceapi.Request {
	return &produceapi.Request{Acks: -1, Topics: []produceapi.RequestTopic{{
		Topic: "t", Partitions: []produceapi.RequestPartition{{Partition: partition}},
	}}}
}

var anywhere = kafka.TCP("broker:9092")

// Each request gets the response for its own partition; one request is sent to each broker.
func TestMergedRequests(t *testing.T) {
	const partitions = 6
	b := &brokers{partitions: partitions}
	m := newMergingTransport(b, func() time.Duration { return 50 * time.Millisecond })
	for _, first := range []kafka.Request{fetchOf(0, 1), produceTo(0)} { // sent at once
		if _, err := m.RoundTrip(t.Context(), anywhere, first); err != nil {
			t.Fatal(err)
		}
	}
	alone := len(b.sent())
	var running sync.WaitGroup
	for p := range int32(partitions) {
		running.Go(func() {
			response, err := m.RoundTrip(t.Context(), anywhere, fetchOf(p, 100+int64(p)))
			if err != nil {
				t.Error(err)
				return
			}
			topics := response.(*fetchapi.Response).Topics
			if len(topics) != 1 || len(topics[0].Partitions) != 1 || topics[0].Partitions[0].Partition != p || topics[0].Partitions[0].HighWatermark != 100+int64(p) {
				t.Errorf("partition %d got the response %+v", p, topics)
			}
		})
	}
	running.Wait()
	requests := b.sent()[alone:]
	if len(requests) != 2 {
		t.Fatalf("%d requests for the partitions of two brokers", len(requests))
	}
	for _, r := range requests {
		if f := r.(*fetchapi.Request); len(f.Topics) != 1 || len(f.Topics[0].Partitions) != partitions/2 || f.MaxBytes != 10*partitions/2 {
			t.Errorf("a request is %+v", f)
		}
	}
}

// The error of one partition does not affect the others.
func TestMergedErrors(t *testing.T) {
	b := &brokers{partitions: 6}
	m := newMergingTransport(b, nil)
	codes := make(map[int32]int16)
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, p := range []int32{0, 1, 3, 5} {
		running.Go(func() {
			response, err := m.RoundTrip(t.Context(), anywhere, produceTo(p))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			codes[p] = response.(*produceapi.Response).Topics[0].Partitions[0].ErrorCode
		})
	}
	running.Wait()
	for p, code := range codes {
		if want := p == 3; (code != 0) != want {
			t.Errorf("partition %d: error code %d", p, code)
		}
	}
	b.fail = errors.New("broken pipe")
	if _, err := m.RoundTrip(t.Context(), anywhere, produceTo(1)); !errors.Is(err, b.fail) {
		t.Errorf("error %v, want %v", err, b.fail)
	}
}

// Two requests for the same partition are not merged, and a request for an unknown partition is
// sent alone.
func TestRequestsThatDoNotMerge(t *testing.T) {
	b := &brokers{partitions: 2}
	m := newMergingTransport(b, func() time.Duration { return 20 * time.Millisecond })
	if _, err := m.RoundTrip(t.Context(), anywhere, fetchOf(0, 0)); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, r := range []*fetchapi.Request{fetchOf(0, 1), fetchOf(0, 2), fetchOf(9, 3)} {
		running.Go(func() {
			response, err := m.RoundTrip(t.Context(), anywhere, r)
			if err != nil {
				t.Error(err)
			} else if got := response.(*fetchapi.Response).Topics[0].Partitions[0].HighWatermark; got != r.Topics[0].Partitions[0].FetchOffset {
				t.Errorf("the request for offset %d got %d", r.Topics[0].Partitions[0].FetchOffset, got)
			}
		})
	}
	running.Wait()
	if n := len(b.sent()); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// A merged request is canceled when the last caller has gone, and not before.
func TestMergedRequestsAreCanceled(t *testing.T) {
	b := &brokers{partitions: 4, hold: make(chan struct{})}
	m := newMergingTransport(b, func() time.Duration { return 20 * time.Millisecond })
	m.queue(anywhere, fetchRequest{fetchOf(0, 0)}).lastSent = time.Now() // so that none is sent at once
	leaving, leave := context.WithCancel(t.Context())
	staying, stop := context.WithCancel(t.Context())
	left, stayed := make(chan error, 1), make(chan error, 1)
	go func() { _, err := m.RoundTrip(leaving, anywhere, fetchOf(0, 0)); left <- err }()
	go func() { _, err := m.RoundTrip(staying, anywhere, fetchOf(2, 0)); stayed <- err }()
	for len(b.sent()) == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	time.Sleep(10 * time.Millisecond)
	b.mu.Lock()
	if n := len(b.requests); n != 1 || b.ended != 0 {
		t.Errorf("%d requests, %d of them canceled", n, b.ended)
	}
	b.mu.Unlock()
	stop()
	if err := <-stayed; !errors.Is(err, context.Canceled) {
		t.Errorf("the second caller got %v", err)
	}
	for {
		b.mu.Lock()
		ended := b.ended
		b.mu.Unlock()
		if ended == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
}

// Commits at about the same time become one request, whose error all of them get.
func TestCommitsAreBatched(t *testing.T) {
	var mu sync.Mutex
	var sent []map[int]int64
	failed := errors.New("rebalance in progress")
	c := &commitBatcher{send: func(offsets map[int]int64) error {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, offsets)
		if len(sent) == 2 {
			return failed
		}
		return nil
	}}
	for round, want := range []error{nil, failed} {
		var running sync.WaitGroup
		for p := range 4 {
			running.Go(func() {
				if err := c.commit(t.Context(), p, int64(10*round+p)); !errors.Is(err, want) {
					t.Errorf("partition %d: %v, want %v", p, err, want)
				}
			})
		}
		running.Wait()
	}
	if len(sent) != 2 || len(sent[0]) != 4 || sent[1][3] != 13 {
		t.Errorf("committed %v", sent)
	}
}
