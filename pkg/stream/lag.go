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

// Lag returns how many messages of a topic a group has not committed yet.
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
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
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
		lags[p.Partition] = p.LastOffset - max(p.FirstOffset, committed[p.Partition])
	}
	return lags, nil
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
