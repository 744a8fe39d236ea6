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

// Permissions is what a service does in a cluster.
type Permissions struct {
	Group  string // consumer group that reads
	Reads  string // topic; empty: none
	Writes []string
}

// attemptTimeout bounds one attempt to reach a cluster, which by itself would wait
// for as long as its context.
const attemptTimeout = 15 * time.Second

// AwaitTopics is EnsureTopics for as long as the cluster is out of reach. A cluster
// that refuses ends it.
func AwaitTopics(ctx context.Context, logger *slog.Logger, cluster Cluster, topics Topics, partitions int) error {
	return await(ctx, logger, cluster, func(ctx context.Context) error {
		return EnsureTopics(ctx, cluster, topics, partitions)
	})
}

// AwaitPermissions is CheckPermissions for as long as the cluster is out of reach. A cluster
// that refuses ends it.
func AwaitPermissions(ctx context.Context, logger *slog.Logger, cluster Cluster, access Permissions) error {
	return await(ctx, logger, cluster, func(ctx context.Context) error {
		return CheckPermissions(ctx, cluster, access)
	})
}

func await(ctx context.Context, logger *slog.Logger, cluster Cluster, attempt func(context.Context) error) error {
	return backoff.Retry(ctx, logger, fmt.Sprintf("connect to Kafka %v", cluster), func() error {
		attemptCtx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		err := attempt(attemptCtx)
		if err != nil {
			err = cluster.explain(ctx, err)
		}
		if remedy := Remedy(err); remedy != "" {
			return backoff.Permanent(fmt.Errorf("%w: %s", err, remedy))
		}
		return err
	})
}

// CheckPermissions asks the cluster whether it allows all of that, and changes nothing.
func CheckPermissions(ctx context.Context, cluster Cluster, access Permissions) error {
	client, done := cluster.freshClient()
	defer done()

	if access.Reads != "" {
		if err := checkRead(ctx, client, access.Reads); err != nil {
			return fmt.Errorf("read topic %q: %w", access.Reads, err)
		}
		if err := checkGroup(ctx, client, access.Group, access.Reads); err != nil {
			return fmt.Errorf("read as consumer group %q: %w", access.Group, err)
		}
	}
	for _, topic := range access.Writes {
		if err := checkWrite(ctx, client, topic); err != nil {
			return fmt.Errorf("write to topic %q: %w", topic, err)
		}
	}
	return nil
}

// checkRead reads the smallest amount there is.
func checkRead(ctx context.Context, client *kafka.Client, topic string) error {
	fetched, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, MinBytes: 1, MaxBytes: 1, MaxWait: time.Millisecond})
	if err == nil {
		err = fetched.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) { // its oldest messages are gone
		return nil
	}
	return err
}

// checkGroup commits an offset of a partition that does not exist, which a broker
// refuses after it has looked at the rights. Where the group has members, it may refuse
// whoever is none of them first.
func checkGroup(ctx context.Context, client *kafka.Client, group, topic string) error {
	const noSuchPartition = math.MaxInt32
	answer, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: noSuchPartition}}},
	})
	if err != nil {
		return err
	}
	for _, p := range answer.Topics[topic] {
		switch {
		case p.Error == nil, errors.Is(p.Error, kafka.UnknownTopicOrPartition), errors.Is(p.Error, kafka.UnknownMemberId):
		default:
			return p.Error
		}
	}
	return nil
}

// checkWrite asks for an acknowledgment that does not exist, which a broker refuses
// after it has looked at the rights, and before it writes.
func checkWrite(ctx context.Context, client *kafka.Client, topic string) error {
	const noSuchAcks = 2
	answer, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, RequiredAcks: noSuchAcks,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("check"))}),
	})
	if err == nil {
		err = answer.Error
	}
	if errors.Is(err, kafka.InvalidRequiredAcks) {
		return nil
	}
	return err
}
