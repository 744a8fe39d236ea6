package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// max.message.bytes of the topics: the largest record batch in bytes. A dead letter contains the
// whole original message and headers about the failure.
const (
	MaxBytes           = 1 << 20
	MaxDeadLetterBytes = 2 << 20
)

// Topic settings, and the default of cleanup.policy.
const (
	maxMessageBytes = "max.message.bytes"
	cleanupPolicy   = "cleanup.policy"
	cleanupDelete   = "delete"
)

// Topics are the names of the topics.
type Topics struct {
	Interactions string // interaction events from producers
	DeadLetters  string // messages that could not be processed, with the reason
	Refreshes    string // requests to regenerate the recommendations of a user
}

// DefaultTopics returns the default names.
func DefaultTopics() Topics {
	return Topics{
		Interactions: "interactions",
		DeadLetters:  "interactions.dead",
		Refreshes:    "refreshes",
	}
}

// EnsureTopics creates missing topics with the broker's default replication factor. Existing
// topics are not changed; a dead-letter topic that was created by other means needs a
// max.message.bytes of at least MaxDeadLetterBytes.
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
	return createTopics(ctx, client, cluster, missing)
}

func createTopics(ctx context.Context, client *kafka.Client, cluster Cluster, configs []kafka.TopicConfig) error {
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
		// With a broker default of compact, Kafka would keep only the newest event of a user.
		config(t.Interactions, MaxBytes, kafka.ConfigEntry{ConfigName: cleanupPolicy, ConfigValue: cleanupDelete}),
		config(t.DeadLetters, MaxDeadLetterBytes,
			// Compaction removes erased dead letters from the disk within a day.
			kafka.ConfigEntry{ConfigName: cleanupPolicy, ConfigValue: "compact,delete"},
			kafka.ConfigEntry{ConfigName: "max.compaction.lag.ms", ConfigValue: strconv.FormatInt((24 * time.Hour).Milliseconds(), 10)}),
		config(t.Refreshes, MaxBytes),
	}
}

// missingTopics returns those of the wanted topics that do not exist.
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

// partitionsOf returns the partition numbers of a topic in ascending order.
func partitionsOf(ctx context.Context, client *kafka.Client, topic string) (numbers []int, err error) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	for _, t := range metadata.Topics {
		if t.Error != nil {
			return nil, t.Error
		}
		for _, p := range t.Partitions {
			numbers = append(numbers, p.ID)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// TopicState is the state of a topic in the cluster.
type TopicState struct {
	Name          string   // of the topic
	Partitions    int      // 0: the topic does not exist
	WrongSettings []string // settings that genrec needs to be different, as NAME=VALUE
	Compacted     bool     // although every message is needed, not only the newest of a key
	SettingsErr   error    // why this user may not read the settings; nil: they were checked
}

// InspectTopics returns the state of the topics and changes nothing.
func InspectTopics(ctx context.Context, cluster Cluster, topics Topics) ([]TopicState, error) {
	client, done := cluster.freshClient()
	defer done()

	var states []TopicState
	for _, wanted := range topics.configs(0) {
		state := TopicState{Name: wanted.Topic}
		metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{wanted.Topic}})
		if err != nil {
			return nil, fmt.Errorf("look up topic %q at Kafka %v: %w", wanted.Topic, cluster, err)
		}
		for _, topic := range metadata.Topics {
			if topic.Error != nil && !errors.Is(topic.Error, kafka.UnknownTopicOrPartition) {
				return nil, fmt.Errorf("look up topic %q at Kafka %v: %w", wanted.Topic, cluster, topic.Error)
			}
			state.Partitions = len(topic.Partitions)
		}
		if state.Partitions > 0 {
			if err := state.inspectSettings(ctx, client, wanted); err != nil {
				return nil, err
			}
		}
		states = append(states, state)
	}
	return states, nil
}

func (t *TopicState) inspectSettings(ctx context.Context, client *kafka.Client, wanted kafka.TopicConfig) error {
	settings, err := topicSettings(ctx, client, wanted.Topic, cleanupPolicy, maxMessageBytes)
	if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed) {
		t.SettingsErr = err // DescribeConfigs is a permission that no service needs
		return nil
	}
	if err != nil {
		return err
	}
	for _, want := range wanted.ConfigEntries {
		value, known := settings[want.ConfigName]
		switch {
		case !known:
		case want.ConfigName == maxMessageBytes:
			least, _ := strconv.Atoi(want.ConfigValue)
			if most, err := strconv.Atoi(value); err == nil && most < least {
				t.WrongSettings = append(t.WrongSettings, want.ConfigName+"="+value)
			}
		case want.ConfigName == cleanupPolicy && want.ConfigValue == cleanupDelete:
			t.Compacted = isCompacted(settings)
		case want.ConfigName == cleanupPolicy && !isCompacted(settings):
			t.WrongSettings = append(t.WrongSettings, want.ConfigName+"="+value)
		}
	}
	return nil
}

// IsCompacted reports whether Kafka compacts a topic, that is, whether it removes dead letters
// from the disk after EraseDeadLetters and before the topic's retention ends.
func IsCompacted(ctx context.Context, c Cluster, topic string) (bool, error) {
	client, done := c.freshClient()
	defer done()
	settings, err := topicSettings(ctx, client, topic, cleanupPolicy)
	return isCompacted(settings), err
}

func isCompacted(settings map[string]string) bool {
	return strings.Contains(settings[cleanupPolicy], "compact")
}

// topicSettings returns the values of some settings of a topic.
func topicSettings(ctx context.Context, client *kafka.Client, topic string, names ...string) (map[string]string, error) {
	what := strings.Join(names, ", ")
	response, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: names},
	}})
	if err != nil {
		return nil, fmt.Errorf("look up %s of topic %q: %w", what, topic, err)
	}
	settings := make(map[string]string)
	for _, resource := range response.Resources {
		if resource.Error != nil {
			return nil, fmt.Errorf("look up %s of topic %q: %w", what, topic, resource.Error)
		}
		for _, entry := range resource.ConfigEntries {
			settings[entry.ConfigName] = entry.ConfigValue
		}
	}
	return settings, nil
}
