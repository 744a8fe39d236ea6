package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

// Lag returns how many messages of a topic a group has not committed yet, without those of
// transactions that are open. Those that were aborted and the marks at the ends of transactions
// count where messages follow them, and do not at the end.
func Lag(ctx context.Context, cluster Cluster, group, topic string) (int64, error) {
	lags, err := lagsOf(ctx, cluster.client(), group, topic)
	if err != nil {
		return 0, err
	}
	var lag int64
	for _, n := range lags {
		lag += n
	}
	return lag, nil
}

// lagsOf returns the lag of each partition.
func lagsOf(ctx context.Context, client *kafka.Client, group, topic string) (lags map[int]int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("look up how far group %q is in topic %q: %w", group, topic, err)
		}
	}()
	ids, err := partitionsOf(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	var asked []kafka.OffsetRequest
	for _, id := range ids {
		asked = append(asked, kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id))
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}, IsolationLevel: kafka.ReadCommitted})
	if err != nil {
		return nil, err
	}
	fetched, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: ids}})
	if err == nil && !errors.Is(fetched.Error, kafka.GroupIdNotFound) {
		err = fetched.Error
	}
	if err != nil {
		return nil, err
	}
	committed := make(map[int]int64)
	for _, p := range fetched.Topics[topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		committed[p.Partition] = p.CommittedOffset
	}
	lags = make(map[int]int64)
	for _, p := range offsets.Topics[topic] {
		if err := partitionError(p); err != nil {
			return nil, err
		}
		from := max(p.FirstOffset, committed[p.Partition])
		lag := p.LastOffset - from
		if lag > 0 {
			waits, err := anyMessage(ctx, client, topic, p.Partition, from, p.LastOffset)
			if err != nil {
				return nil, err
			}
			if !waits {
				lag = 0
			}
		}
		lags[p.Partition] = lag
	}
	return lags, nil
}

// lookBytes bounds what is read to find a message, but for the first batch.
const lookBytes = 4 << 10

// anyMessage tells whether there is a message between two offsets. Otherwise all that is there
// are marks at the ends of transactions, and transactions that were aborted.
func anyMessage(ctx context.Context, client *kafka.Client, topic string, partition int, from, to int64) (bool, error) {
	p := &Partition{Number: partition, cfg: GroupConfig{Topic: topic}, client: client, next: from}
	for p.next < to {
		response, err := fetch(ctx, client, topic, partition, p.next, lookBytes, time.Millisecond)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			return true, nil // retention has just removed it
		}
		if err != nil {
			return false, err
		}
		messages, end, err := p.read(response)
		if err != nil {
			return false, err
		}
		if len(messages) > 0 {
			return messages[0].Offset < to, nil
		}
		if end <= p.next {
			return true, nil // it does not tell
		}
		p.next = end
	}
	return false, nil
}

// lagTimeout is how long Kafka may take to tell the lag.
const lagTimeout = 5 * time.Second

type lagCollector struct {
	client       *kafka.Client
	group, topic string
	lag          *prometheus.Desc
}

// NewLagCollector returns the lag of a group in each partition of a topic, for
// Prometheus: Kafka is asked whenever Prometheus asks, so that it also tells of a group
// that is stuck. Each member tells it of all partitions.
func NewLagCollector(cluster Cluster, group, topic string) prometheus.Collector {
	return &lagCollector{
		client: cluster.client(), group: group, topic: topic,
		lag: prometheus.NewDesc("genrec_kafka_lag_messages", "Messages that the consumer group has not committed yet.",
			[]string{"partition"}, prometheus.Labels{"group": group, "topic": topic}),
	}
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.lag }

// Collect implements prometheus.Collector.
func (c *lagCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	lags, err := lagsOf(ctx, c.client, c.group, c.topic)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.lag, err)
		return
	}
	for partition, lag := range lags {
		ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(lag), strconv.Itoa(partition))
	}
}
