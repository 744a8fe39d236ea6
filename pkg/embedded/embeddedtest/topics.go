package embeddedtest

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Delete deletes topics, as an operator does, and returns when they are gone.
func (s *Servers) Delete(topics ...string) {
	s.t.Helper()
	deleted, err := s.client.DeleteTopics(s.t.Context(), &kafka.DeleteTopicsRequest{Topics: topics})
	for _, topic := range topics {
		if err == nil && !errors.Is(deleted.Errors[topic], kafka.UnknownTopicOrPartition) {
			err = deleted.Errors[topic]
		}
	}
	if err != nil {
		s.t.Fatalf("delete the topics %q: %v", topics, err)
	}
}

// Create creates a topic, which may just have been deleted.
func (s *Servers) Create(topic string, partitions int) {
	s.t.Helper()
	Eventually(s.t, func() string {
		created, err := s.client.CreateTopics(s.t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
			{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1},
		}})
		if err = errors.Join(err, created.Errors[topic]); err != nil {
			return fmt.Sprintf("create topic %q: %v", topic, err)
		}
		return ""
	})
}

// Trim deletes the messages of a partition before an offset, as retention does.
func (s *Servers) Trim(topic string, partition int32, before int64) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.KafkaBrokers()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 10_000
	of, at := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	at.Partition, at.Offset = partition, before
	of.Topic, of.Partitions = topic, append(of.Partitions, at)
	request.Topics = append(request.Topics, of)
	response, err := request.RequestWith(s.t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("delete the messages before %d of partition %d of topic %q: %v", before, partition, topic, err)
	}
}
