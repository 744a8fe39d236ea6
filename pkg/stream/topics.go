// Package stream is Kafka as genrec uses it: the topics, the settings of
// readers and writers, and the messages that are not interaction events.
package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// Largest batch of messages in bytes that a topic accepts. A dead letter
// carries the whole event and headers that say what is wrong with it.
const (
	MaxBytes           = 1 << 20
	MaxDeadLetterBytes = 2 << 20
)

const maxMessageBytes = "max.message.bytes" // a topic's setting

// Topics names the topics.
type Topics struct {
	Interactions string // interaction events as producers send them
	DeadLetters  string // messages that could not be processed, with the reason
	Refreshes    string // users whose recommendations are out of date
}

// DefaultTopics returns the names used unless the user chooses others.
func DefaultTopics() Topics {
	return Topics{
		Interactions: "interactions",
		DeadLetters:  "interactions.dead",
		Refreshes:    "refreshes",
	}
}

// EnsureTopics creates the topics that are missing, with the broker's default
// replication, and returns when they can be used. Existing topics are left
// alone; a dead-letter topic made elsewhere needs a max.message.bytes of at
// least MaxDeadLetterBytes.
func EnsureTopics(ctx context.Context, cluster Cluster, topics Topics, partitions int) error {
	client, done := cluster.freshClient()
	defer done()

	missing, err := missingTopics(ctx, client, topics.configs(partitions))
	if err != nil {
		return fmt.Errorf("look up topics at Kafka %v: %w", cluster, err)
	}
	if len(missing) == 0 {
		return nil
	}
	return create(ctx, client, cluster, missing)
}

// createTopics creates topics with connections and metadata of its own.
func createTopics(ctx context.Context, cluster Cluster, configs []kafka.TopicConfig) error {
	client, done := cluster.freshClient()
	defer done()
	return create(ctx, client, cluster, configs)
}

func create(ctx context.Context, client *kafka.Client, cluster Cluster, configs []kafka.TopicConfig) error {
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: configs})
	if err != nil {
		return fmt.Errorf("create %d topics at Kafka %v: %w", len(configs), cluster, err)
	}
	for _, c := range configs {
		if err := created.Errors[c.Topic]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %q with %d partitions: %w", c.Topic, c.NumPartitions, err)
		}
	}
	return nil
}

func (t Topics) names() []string { return []string{t.Interactions, t.DeadLetters, t.Refreshes} }

func (t Topics) configs(partitions int) []kafka.TopicConfig {
	config := func(name string, maxBytes int, more ...kafka.ConfigEntry) kafka.TopicConfig {
		return kafka.TopicConfig{
			Topic:             name,
			NumPartitions:     partitions,
			ReplicationFactor: -1,
			ConfigEntries: append(more, kafka.ConfigEntry{
				ConfigName: maxMessageBytes, ConfigValue: strconv.Itoa(maxBytes),
			}),
		}
	}
	return []kafka.TopicConfig{
		// A broker's default may be to compact, which leaves a user's newest event alone.
		config(t.Interactions, MaxBytes, kafka.ConfigEntry{ConfigName: cleanupPolicy, ConfigValue: cleanupDelete}),
		config(t.DeadLetters, MaxDeadLetterBytes,
			// Erased letters go within a day.
			kafka.ConfigEntry{ConfigName: cleanupPolicy, ConfigValue: "compact,delete"},
			kafka.ConfigEntry{ConfigName: "max.compaction.lag.ms", ConfigValue: strconv.FormatInt((24 * time.Hour).Milliseconds(), 10)}),
		config(t.Refreshes, MaxBytes),
	}
}

func missingTopics(ctx context.Context, client *kafka.Client, wanted []kafka.TopicConfig) ([]kafka.TopicConfig, error) {
	names := make([]string, len(wanted))
	for i, topic := range wanted {
		names[i] = topic.Topic
	}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, err
	}
	exists := make(map[string]bool)
	for _, topic := range metadata.Topics {
		switch {
		case topic.Error == nil:
			exists[topic.Name] = true
		case !errors.Is(topic.Error, kafka.UnknownTopicOrPartition):
			return nil, fmt.Errorf("topic %q: %w", topic.Name, topic.Error)
		}
	}
	var missing []kafka.TopicConfig
	for _, topic := range wanted {
		if !exists[topic.Topic] {
			missing = append(missing, topic)
		}
	}
	return missing, nil
}
