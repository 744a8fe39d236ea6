package stream

import (
	"time"

	"github.com/segmentio/kafka-go"
)

// NewReader returns a reader of topic in a consumer group. It starts at the
// oldest message that the group has not committed, and commits synchronously.
func NewReader(cluster Cluster, group, topic string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers:               cluster.Brokers,
		Dialer:                cluster.Dialer(),
		GroupID:               group,
		Topic:                 topic,
		MinBytes:              1,
		MaxBytes:              8 * MaxBytes,
		MaxWait:               2 * time.Second, // a busy broker needs some of it, and leaving a group waits for half of it
		JoinGroupBackoff:      joinBackoff,
		HeartbeatInterval:     heartbeat,
		SessionTimeout:        sessionTimeout,
		RebalanceTimeout:      rebalanceTimeout,
		StartOffset:           kafka.FirstOffset,
		WatchPartitionChanges: true,
	})
}

// NewWriter returns a writer to topic that waits for all replicas and keeps
// the messages of a key in order.
func NewWriter(cluster Cluster, topic string) *kafka.Writer {
	return newWriter(cluster, topic, MaxBytes)
}

// NewDeadLetterWriter returns a writer like NewWriter's for messages as large
// as the dead-letter topic accepts.
func NewDeadLetterWriter(cluster Cluster, topic string) *kafka.Writer {
	return newWriter(cluster, topic, MaxDeadLetterBytes)
}

// batchHeader bounds what the broker counts in a batch and the writer does not.
const batchHeader = 64

func newWriter(cluster Cluster, topic string, maxBytes int64) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(cluster.Brokers...),
		Transport:    cluster.transport(),
		Topic:        topic,
		Balancer:     &kafka.Hash{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond, // the default of a second would be the latency
		BatchBytes:   maxBytes - batchHeader,
		MaxAttempts:  3, // Publish goes on, and unlike the writer it stops when its context ends
	}
}
