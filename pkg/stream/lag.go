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

// Lag returns the number of messages of a topic that a consumer group has not committed, up to
// the last stable offset. Aborted messages and control records count if messages follow them in
// their partition, but not at its end.
func Lag(ctx context.Context, cluster Cluster, group, topic string) (int64, error) {
	lags, err := partitionLags(ctx, cluster.client(), group, topic)
	if err != nil {
		return 0, err
	}
	var lag int64
	for _, n := range lags {
		lag += n
	}
	return lag, nil
}

// partitionLags returns the lag of each partition.
func partitionLags(ctx context.Context, client *kafka.Client, group, topic string) (lags map[int]int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("look up the lag of group %q in topic %q: %w", group, topic, err)
		}
	}()
	ids, err := partitionsOf(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	var requests []kafka.OffsetRequest
	for _, id := range ids {
		requests = append(requests, kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id))
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}, IsolationLevel: kafka.ReadCommitted})
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
			found, err := hasMessage(ctx, client, topic, p.Partition, from, p.LastOffset)
			if err != nil {
				return nil, err
			}
			if !found {
				lag = 0
			}
		}
		lags[p.Partition] = lag
	}
	return lags, nil
}

// lagFetchBytes bounds a fetch that looks for a message; the first batch may be larger.
const lagFetchBytes = 4 << 10

// hasMessage reports whether there is a message between two offsets, rather than only aborted
// transactions and control records.
func hasMessage(ctx context.Context, client *kafka.Client, topic string, partition int, from, to int64) (bool, error) {
	for from < to {
		response, err := fetch(ctx, client, topic, partition, from, lagFetchBytes, time.Millisecond)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			return true, nil // retention has just removed it
		}
		if err != nil {
			return false, err
		}
		messages, end, err := response.messages(topic, partition, from)
		if err != nil {
			return false, err
		}
		if len(messages) > 0 {
			return messages[0].Offset < to, nil
		}
		if end <= from {
			return true, nil // unknown: count it
		}
		from = end
	}
	return false, nil
}

// lagTimeout bounds looking up the lag while Prometheus scrapes.
const lagTimeout = 5 * time.Second

type lagCollector struct {
	client       *kafka.Client
	group, topic string
	lag          *prometheus.Desc
}

// NewLagCollector returns a collector of a group's lag in each partition of a topic. Each scrape
// looks it up in Kafka, so that it is also right for a group that is stuck. Every member of the
// group reports all partitions.
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
	lags, err := partitionLags(ctx, c.client, c.group, c.topic)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.lag, err)
		return
	}
	for partition, lag := range lags {
		ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(lag), strconv.Itoa(partition))
	}
}
