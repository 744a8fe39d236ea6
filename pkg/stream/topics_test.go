package stream_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

func TestInspectTopics(t *testing.T) {
	servers, topics := embeddedtest.StartEmpty(t), stream.DefaultTopics()
	inspect := func(want ...stream.TopicState) {
		t.Helper()
		got, err := stream.InspectTopics(t.Context(), servers.Cluster(), topics)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
	}
	missing := stream.TopicState{Name: topics.Refreshes}
	inspect(stream.TopicState{Name: topics.Interactions}, stream.TopicState{Name: topics.DeadLetters}, missing)

	created, err := servers.Client().CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topics.Interactions, NumPartitions: 7, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "2000000"}}},
		{Topic: topics.DeadLetters, NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"}, {ConfigName: "max.message.bytes", ConfigValue: "1000"},
		}},
	}})
	if err = errors.Join(err, created.Errors[topics.Interactions], created.Errors[topics.DeadLetters]); err != nil {
		t.Fatal(err)
	}
	inspect(stream.TopicState{Name: topics.Interactions, Partitions: 7},
		stream.TopicState{Name: topics.DeadLetters, Partitions: 2, WrongSettings: []string{"cleanup.policy=delete", "max.message.bytes=1000"}}, missing)

	if err := stream.EnsureTopics(t.Context(), servers.Cluster(), topics, 3); err != nil {
		t.Fatal(err)
	}
	set, err := servers.Client().IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topics.Interactions,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact,delete", ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err = errors.Join(err, set.Resources[0].Error); err != nil {
		t.Fatal(err)
	}
	got, err := stream.InspectTopics(t.Context(), servers.Cluster(), topics)
	if err != nil || !got[0].Compacted || got[0].WrongSettings != nil || got[1].Compacted {
		t.Errorf("the state of a compacted topic is %+v (%v)", got[0], err)
	}
	if err != nil || got[2].Partitions != 3 || got[2].WrongSettings != nil {
		t.Errorf("the states after EnsureTopics are %+v (%v)", got, err)
	}
}
