package stream

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/stream"
)

// kafkaWarmUp is how long Kafka is kept busy before anything is measured.
const kafkaWarmUp = 10 * time.Second

// warmKafka keeps Kafka busy with the requests that the services send, until its code is
// compiled: a server in production has been up for a while. The topics must be recreated
// afterwards.
func (r *environment) warmKafka(ctx context.Context) error {
	if err := r.recreateTopics(ctx, r.partitions); err != nil {
		return err
	}
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.Brokers...)}
	until := time.Now().Add(kafkaWarmUp)
	ctx, cancel := context.WithTimeout(ctx, kafkaWarmUp+time.Minute)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for partition := range r.partitions {
		group.Go(func() error {
			for offset := int64(0); time.Now().Before(until); offset++ {
				// The client may not have heard of the topic yet.
				err := retry(ctx, "warm up Kafka", func() error { return roundOfRequests(ctx, client, partition, offset) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// roundOfRequests produces a message, fetches it and commits its offset.
func roundOfRequests(ctx context.Context, client *kafka.Client, partition int, offset int64) error {
	topic := stream.DefaultTopics().Interactions
	produced, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("user")), Value: kafka.NewBytes(make([]byte, 200))}),
	})
	if err == nil {
		err = produced.Error
	}
	if err != nil {
		return fmt.Errorf("produce to %s/%d: %w", topic, partition, err)
	}
	fetched, err := client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second,
	})
	if err == nil {
		err = fetched.Error
	}
	if err != nil {
		return fmt.Errorf("fetch offset %d of %s/%d: %w", offset, topic, partition, err)
	}
	if record, err := fetched.Records.ReadRecord(); err == nil {
		_, err = io.Copy(io.Discard, record.Value)
		if err != nil {
			return err
		}
	}
	committed, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: "warm-up", GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: offset + 1}}},
	})
	if err == nil {
		err = committed.Topics[topic][0].Error
	}
	if err != nil {
		return fmt.Errorf("commit offset %d of %s/%d: %w", offset, topic, partition, err)
	}
	return nil
}
