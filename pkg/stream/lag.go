package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Lag returns how many messages of a topic a group has not committed yet.
func Lag(ctx context.Context, cluster Cluster, group, topic string) (int64, error) {
	lag, err := lagOf(ctx, cluster, group, topic)
	if err != nil {
		return 0, fmt.Errorf("look up how far group %q is in topic %q: %w", group, topic, err)
	}
	return lag, nil
}

func lagOf(ctx context.Context, cluster Cluster, group, topic string) (int64, error) {
	partitions, err := cluster.Dialer().LookupPartitions(ctx, "tcp", cluster.Brokers[0], topic)
	if err != nil {
		return 0, err
	}
	var (
		ids   []int
		asked []kafka.OffsetRequest
	)
	for _, p := range partitions {
		ids = append(ids, p.ID)
		asked = append(asked, kafka.FirstOffsetOf(p.ID), kafka.LastOffsetOf(p.ID))
	}
	client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: cluster.transport()}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return 0, err
	}
	fetched, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: ids}})
	if err == nil && !errors.Is(fetched.Error, kafka.GroupIdNotFound) {
		err = fetched.Error
	}
	if err != nil {
		return 0, err
	}
	committed := make(map[int]int64)
	for _, p := range fetched.Topics[topic] {
		committed[p.Partition] = p.CommittedOffset
	}
	var lag int64
	for _, p := range offsets.Topics[topic] {
		if p.Error != nil {
			return 0, p.Error
		}
		lag += p.LastOffset - max(p.FirstOffset, committed[p.Partition])
	}
	return lag, nil
}
