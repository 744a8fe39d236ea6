package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
)

// TopicState is what a topic is like.
type TopicState struct {
	Name       string
	Partitions int      // 0: there is no such topic
	Wrong      []string // settings that genrec needs otherwise, as NAME=VALUE
	Compacted  bool     // although each message is needed, not only the newest of a key
	Untold     error    // why the settings are not known, if they are not
}

// ExamineTopics looks at the topics and changes nothing.
func ExamineTopics(ctx context.Context, cluster Cluster, topics Topics) ([]TopicState, error) {
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
			if err := state.examineSettings(ctx, client, wanted); err != nil {
				return nil, err
			}
		}
		states = append(states, state)
	}
	return states, nil
}

func (t *TopicState) examineSettings(ctx context.Context, client *kafka.Client, wanted kafka.TopicConfig) error {
	set, err := topicSettings(ctx, client, wanted.Topic, cleanupPolicy, maxMessageBytes)
	if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed) {
		t.Untold = err // to look at them is no right that a service needs
		return nil
	}
	if err != nil {
		return err
	}
	for _, want := range wanted.ConfigEntries {
		is, told := set[want.ConfigName]
		switch {
		case !told:
		case want.ConfigName == maxMessageBytes:
			least, _ := strconv.Atoi(want.ConfigValue)
			if most, err := strconv.Atoi(is); err == nil && most < least {
				t.Wrong = append(t.Wrong, want.ConfigName+"="+is)
			}
		case want.ConfigName == cleanupPolicy && want.ConfigValue == cleanupDelete:
			t.Compacted = compacts(set)
		case want.ConfigName == cleanupPolicy && !compacts(set):
			t.Wrong = append(t.Wrong, want.ConfigName+"="+is)
		}
	}
	return nil
}

// topicSettings asks for some of a topic's.
func topicSettings(ctx context.Context, client *kafka.Client, topic string, names ...string) (map[string]string, error) {
	wanted := strings.Join(names, ", ")
	response, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: names},
	}})
	if err != nil {
		return nil, fmt.Errorf("look up %s of topic %q: %w", wanted, topic, err)
	}
	settings := make(map[string]string)
	for _, resource := range response.Resources {
		if resource.Error != nil {
			return nil, fmt.Errorf("look up %s of topic %q: %w", wanted, topic, resource.Error)
		}
		for _, entry := range resource.ConfigEntries {
			settings[entry.ConfigName] = entry.ConfigValue
		}
	}
	return settings, nil
}
