package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Permissions are the Kafka operations that a service needs.
type Permissions struct {
	Group  string   // consumer group to read as; used only with Reads
	Reads  string   // topic; empty: none
	Writes []string // topics
}

// attemptTimeout bounds one attempt to connect to a cluster; kafka-go would wait until the
// context ends.
const attemptTimeout = 15 * time.Second

// AwaitTopics calls EnsureTopics until the cluster is reachable. Errors with a Hint end it.
func AwaitTopics(ctx context.Context, logger *slog.Logger, cluster Cluster, topics Topics, partitions int) error {
	return await(ctx, logger, cluster, func(ctx context.Context) error {
		return EnsureTopics(ctx, cluster, topics, partitions)
	})
}

// AwaitPermissions calls CheckPermissions until the cluster is reachable. Errors with a Hint
// end it.
func AwaitPermissions(ctx context.Context, logger *slog.Logger, cluster Cluster, needed Permissions) error {
	return await(ctx, logger, cluster, func(ctx context.Context) error {
		return CheckPermissions(ctx, cluster, needed)
	})
}

func await(ctx context.Context, logger *slog.Logger, cluster Cluster, attempt func(context.Context) error) error {
	return backoff.Retry(ctx, logger, fmt.Sprintf("connect to Kafka %v", cluster), func() error {
		attemptCtx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		err := attempt(attemptCtx)
		if err != nil {
			err = cluster.diagnose(ctx, err)
		}
		if hint := Hint(err); hint != "" {
			return backoff.Permanent(fmt.Errorf("%w: %s", err, hint))
		}
		return err
	})
}

// CheckPermissions checks that the cluster grants these permissions. It changes nothing.
func CheckPermissions(ctx context.Context, cluster Cluster, needed Permissions) error {
	client, done := cluster.freshClient()
	defer done()

	if needed.Reads != "" {
		if err := checkRead(ctx, client, needed.Reads); err != nil {
			return fmt.Errorf("read topic %q: %w", needed.Reads, err)
		}
		if err := checkGroup(ctx, client, needed.Group, needed.Reads); err != nil {
			return fmt.Errorf("read as consumer group %q: %w", needed.Group, err)
		}
	}
	for _, topic := range needed.Writes {
		if err := checkWrite(ctx, client, topic); err != nil {
			return fmt.Errorf("write to topic %q: %w", topic, err)
		}
	}
	return nil
}

// checkRead fetches one byte.
func checkRead(ctx context.Context, client *kafka.Client, topic string) error {
	fetched, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, MinBytes: 1, MaxBytes: 1, MaxWait: time.Millisecond})
	if err == nil {
		err = fetched.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) { // retention has removed the oldest messages
		return nil
	}
	return err
}

// checkGroup commits an offset of a partition that does not exist: the broker rejects it only
// after the authorization check. If the group has members, it may reject the commit of a
// non-member first.
func checkGroup(ctx context.Context, client *kafka.Client, group, topic string) error {
	const noSuchPartition = math.MaxInt32
	response, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: noSuchPartition}}},
	})
	if err != nil {
		return err
	}
	for _, p := range response.Topics[topic] {
		switch {
		case p.Error == nil, errors.Is(p.Error, kafka.UnknownTopicOrPartition), errors.Is(p.Error, kafka.UnknownMemberId):
		default:
			return p.Error
		}
	}
	return nil
}

// checkWrite produces with an invalid acks value: the broker rejects it after the authorization
// check and before it appends anything.
func checkWrite(ctx context.Context, client *kafka.Client, topic string) error {
	const invalidAcks = 2
	response, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, RequiredAcks: invalidAcks,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("check"))}),
	})
	if err == nil {
		err = response.Error
	}
	if errors.Is(err, kafka.InvalidRequiredAcks) {
		return nil
	}
	return err
}
