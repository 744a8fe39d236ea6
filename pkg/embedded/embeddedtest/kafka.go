package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/stream"
)

// Client returns a Kafka client for requests that services do not make.
func (s *Servers) Client() *kafka.Client { return s.client }

// Messages returns all messages of a topic, partition by partition.
func (s *Servers) Messages(topic string) []kafka.Message {
	s.t.Helper()
	var messages []kafka.Message
	for partition, end := range s.Ends(topic) {
		messages = append(messages, s.partition(topic, partition, end)...)
	}
	return messages
}

// Ends returns the end offset of each partition of a topic. It waits until a new topic has
// leaders.
func (s *Servers) Ends(topic string) (ends []int64) {
	s.t.Helper()
	Eventually(s.t, func() string {
		var err error
		if ends, err = readEnds(s.t.Context(), s.KafkaBrokers()[0], topic); err != nil {
			return fmt.Sprintf("read the end offsets of topic %q: %v", topic, err)
		}
		return ""
	})
	return ends
}

// readEnds uses connections instead of a Client, which caches metadata.
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
	ctx, cancel := context.WithTimeout(s.t.Context(), Timeout)
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

// Committed returns the sum of a group's committed offsets in a topic.
func (s *Servers) Committed(group, topic string) int64 {
	s.t.Helper()
	partitions := make([]int, len(s.Ends(topic)))
	for i := range partitions {
		partitions[i] = i
	}
	answer, err := s.client.OffsetFetch(s.t.Context(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil && !errors.Is(answer.Error, kafka.GroupIdNotFound) { // before the first member joins
		err = answer.Error
	}
	if err != nil {
		s.t.Fatalf("read the committed offsets of group %q: %v", group, err)
	}
	var n int64
	for _, p := range answer.Topics[topic] {
		n += max(0, p.CommittedOffset)
	}
	return n
}

// Members returns the number of members of a consumer group, 0 while it is rebalancing.
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

// Delete deletes topics.
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

// Create creates a topic. It retries while a deleted topic of that name still exists.
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

// awaitGroups waits until a new Kafka's group coordinator is available.
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
		return fmt.Sprintf("read the offsets of a group that does not exist: %v", err)
	})
}

// clearKafka deletes the topics and groups of earlier tests.
func clearKafka(t testing.TB, cluster stream.Cluster) error {
	transport := cluster.NewTransport()
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: transport}
	if err := deleteTopics(t.Context(), client); err != nil {
		return fmt.Errorf("delete the topics of earlier tests: %w", err)
	}
	// A member that did not leave keeps its group alive until its session times out.
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

// Producer is a transactional producer, which kafka-go lacks.
type Producer struct {
	t      testing.TB
	client *kgo.Client
}

// Transactional returns a producer with a transactional ID.
func (s *Servers) Transactional(id string) *Producer {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.KafkaBrokers()...), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return &Producer{t: s.t, client: client}
}

// Begin begins a transaction and writes to it, see Write.
func (p *Producer) Begin(topic string, partition int32, values ...string) {
	p.t.Helper()
	if err := p.client.BeginTransaction(); err != nil {
		p.t.Fatal(err)
	}
	p.Write(topic, partition, values...)
}

// Write writes values, which are also the keys, to a partition in the open transaction.
func (p *Producer) Write(topic string, partition int32, values ...string) {
	p.t.Helper()
	for _, value := range values {
		record := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(value), Value: []byte(value)}
		if err := p.client.ProduceSync(p.t.Context(), record).FirstErr(); err != nil {
			p.t.Fatalf("write %q in a transaction: %v", value, err)
		}
	}
}

// Commit commits the transaction.
func (p *Producer) Commit() { p.end(kgo.TryCommit) }

// Abort aborts the transaction.
func (p *Producer) Abort() { p.end(kgo.TryAbort) }

func (p *Producer) end(how kgo.TransactionEndTry) {
	p.t.Helper()
	if err := p.client.EndTransaction(context.WithoutCancel(p.t.Context()), how); err != nil {
		p.t.Fatal(err)
	}
}
