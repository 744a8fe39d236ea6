package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// Client returns a client of the Kafka, to ask it what no service asks.
func (s *Servers) Client() *kafka.Client { return s.client }

// Messages returns all that a topic holds, partition after partition.
func (s *Servers) Messages(topic string) []kafka.Message {
	s.t.Helper()
	var messages []kafka.Message
	for partition, end := range s.Ends(topic) {
		messages = append(messages, s.partition(topic, partition, end)...)
	}
	return messages
}

// Ends returns how many messages have been written to each partition of a topic. A topic
// that has just been created may still be without leaders.
func (s *Servers) Ends(topic string) (ends []int64) {
	s.t.Helper()
	Eventually(s.t, func() string {
		var err error
		if ends, err = readEnds(s.t.Context(), s.KafkaBrokers()[0], topic); err != nil {
			return fmt.Sprintf("look up the ends of topic %q: %v", topic, err)
		}
		return ""
	})
	return ends
}

// readEnds asks no Client, which would answer from a cache.
func readEnds(ctx context.Context, broker, topic string) ([]int64, error) {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(partitions))
	for partition := range ends {
		leader, err := kafka.DialLeader(ctx, "tcp", broker, topic, partition)
		if err != nil {
			return nil, err
		}
		ends[partition], err = leader.ReadLastOffset()
		if err := errors.Join(err, leader.Close()); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

func (s *Servers) partition(topic string, partition int, end int64) []kafka.Message {
	s.t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: s.KafkaBrokers(), Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 250 * time.Millisecond,
	})
	defer r.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), Patience)
	defer cancel()
	messages := make([]kafka.Message, end)
	for i := range messages {
		var err error
		if messages[i], err = r.ReadMessage(ctx); err != nil {
			s.t.Fatalf("read message %d of partition %d of topic %s: %v", i, partition, topic, err)
		}
	}
	return messages
}

// Committed returns how many messages of a topic a group has committed.
func (s *Servers) Committed(group, topic string) int64 {
	s.t.Helper()
	partitions := make([]int, len(s.Ends(topic)))
	for i := range partitions {
		partitions[i] = i
	}
	answer, err := s.client.OffsetFetch(s.t.Context(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil && !errors.Is(answer.Error, kafka.GroupIdNotFound) { // as long as nobody has joined
		err = answer.Error
	}
	if err != nil {
		s.t.Fatalf("look up what group %q has committed: %v", group, err)
	}
	var n int64
	for _, p := range answer.Topics[topic] {
		n += max(0, p.CommittedOffset)
	}
	return n
}

// Members returns how many members of a group there are, and 0 while it is not stable.
func (s *Servers) Members(group string) int {
	s.t.Helper()
	answer, err := s.client.DescribeGroups(s.t.Context(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		s.t.Fatalf("describe group %q: %v", group, err)
	}
	if len(answer.Groups) != 1 || answer.Groups[0].GroupState != "Stable" {
		return 0
	}
	return len(answer.Groups[0].Members)
}

// awaitGroups waits until a Kafka that has just started knows of consumer groups.
func awaitGroups(t testing.TB, cluster stream.Cluster) {
	t.Helper()
	transport := cluster.NewTransport()
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: transport}
	Eventually(t, func() string {
		answer, err := client.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{GroupID: "test"})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			return ""
		}
		return fmt.Sprintf("ask for a group that does not exist: %v", err)
	})
}

// clearKafka removes the topics and groups that earlier tests left.
func clearKafka(t testing.TB, cluster stream.Cluster) error {
	transport := cluster.NewTransport()
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: transport}
	if err := deleteTopics(t.Context(), client); err != nil {
		return fmt.Errorf("delete the topics of earlier tests: %w", err)
	}
	// A member that did not say goodbye keeps its group until its session ends.
	Eventually(t, func() string {
		if err := deleteGroups(t.Context(), client); err != nil {
			return fmt.Sprintf("delete the groups of earlier tests: %v", err)
		}
		return ""
	})
	return nil
}

func deleteTopics(ctx context.Context, client *kafka.Client) error {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return err
	}
	var names []string
	for _, topic := range metadata.Topics {
		if !topic.Internal {
			names = append(names, topic.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: names})
	if err != nil {
		return err
	}
	for _, err := range deleted.Errors {
		if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			return err
		}
	}
	return nil
}

func deleteGroups(ctx context.Context, client *kafka.Client) error {
	listed, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return err
	}
	var ids []string
	for _, group := range listed.Groups {
		ids = append(ids, group.GroupID)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return nil
	}
	deleted, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: ids})
	if err != nil {
		return err
	}
	for _, err := range deleted.Errors {
		if err != nil && !errors.Is(err, kafka.GroupIdNotFound) {
			return err
		}
	}
	return nil
}
