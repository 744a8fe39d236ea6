package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/stream"
)

// lagMeter reads the lag of ingest and infer from Kafka, through separate connections.
type lagMeter struct {
	client     *kafka.Client
	transport  *kafka.Transport
	partitions []int
}

const readTimeout = 30 * time.Second

// lag is the number of uncommitted messages.
type lag struct{ events, refreshes int64 }

func (l lag) total() int64 { return l.events + l.refreshes }

func newLagMeter(cluster stream.Cluster, partitions int) *lagMeter {
	m := &lagMeter{transport: cluster.NewTransport()}
	m.client = &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: m.transport}
	for p := range partitions {
		m.partitions = append(m.partitions, p)
	}
	return m
}

func (m *lagMeter) close() { m.transport.CloseIdleConnections() }

// read returns the current lag. It retries, since Kafka may not know the coordinator of a group right after the
// start.
func (m *lagMeter) read(ctx context.Context) (l lag, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = retry(ctx, "read the lag", func() (err error) {
		l, err = m.readOnce(ctx)
		return err
	})
	return l, err
}

// readOnce reads the committed offsets before the end offsets: an event that ingest has committed by then has
// a refresh, so that none is missed between the two topics.
func (m *lagMeter) readOnce(ctx context.Context) (l lag, err error) {
	topics := stream.DefaultTopics()
	var committed [2]int64
	for i, of := range []struct{ group, topic string }{
		{ingest.DefaultGroup, topics.Interactions}, {inference.DefaultGroup, topics.Refreshes},
	} {
		if committed[i], err = m.committed(ctx, of.group, of.topic); err != nil {
			return l, fmt.Errorf("read the committed offsets of group %q: %w", of.group, err)
		}
	}
	requests := make([]kafka.OffsetRequest, len(m.partitions))
	for i, p := range m.partitions {
		requests[i] = kafka.LastOffsetOf(p)
	}
	ends, err := m.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topics.Interactions: requests, topics.Refreshes: requests},
	})
	if err != nil {
		return l, fmt.Errorf("read the end offsets of the topics: %w", err)
	}
	var end [2]int64
	for i, topic := range []string{topics.Interactions, topics.Refreshes} {
		for _, p := range ends.Topics[topic] {
			if p.Error != nil {
				return l, fmt.Errorf("read the end offset of partition %d of topic %q: %w", p.Partition, topic, p.Error)
			}
			end[i] += p.LastOffset
		}
	}
	return lag{events: max(0, end[0]-committed[0]), refreshes: max(0, end[1]-committed[1])}, nil
}

func (m *lagMeter) committed(ctx context.Context, group, topic string) (sum int64, err error) {
	fetched, err := m.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: m.partitions}})
	if err == nil && !errors.Is(fetched.Error, kafka.GroupIdNotFound) {
		err = fetched.Error
	}
	if err != nil {
		return 0, err
	}
	for _, p := range fetched.Topics[topic] {
		sum += max(0, p.CommittedOffset)
	}
	return sum, nil
}

// drain waits until there is no lag.
func (m *lagMeter) drain(ctx context.Context, s *services, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		l, err := m.read(ctx)
		if err != nil {
			return err
		}
		if l.total() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %[3]v, the lag is %[1]d events and %[2]d refreshes", l.events, l.refreshes, timeout)
		case <-time.After(20 * time.Millisecond):
		}
		if err := failed(s.children); err != nil {
			return err
		}
	}
}
