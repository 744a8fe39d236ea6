package stream_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

func TestExamineTopics(t *testing.T) {
	servers, topics := embeddedtest.StartEmpty(t), stream.DefaultTopics()
	examine := func(want ...stream.TopicState) {
		t.Helper()
		got, err := stream.ExamineTopics(t.Context(), servers.Cluster(), topics)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
	}
	nowhere := stream.TopicState{Name: topics.Refreshes}
	examine(stream.TopicState{Name: topics.Interactions}, stream.TopicState{Name: topics.DeadLetters}, nowhere)

	created, err := servers.Client().CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topics.Interactions, NumPartitions: 7, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "2000000"}}},
		{Topic: topics.DeadLetters, NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"}, {ConfigName: "max.message.bytes", ConfigValue: "1000"},
		}},
	}})
	if err = errors.Join(err, created.Errors[topics.Interactions], created.Errors[topics.DeadLetters]); err != nil {
		t.Fatal(err)
	}
	examine(stream.TopicState{Name: topics.Interactions, Partitions: 7},
		stream.TopicState{Name: topics.DeadLetters, Partitions: 2, Wrong: []string{"cleanup.policy=delete", "max.message.bytes=1000"}}, nowhere)

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
	got, err := stream.ExamineTopics(t.Context(), servers.Cluster(), topics)
	if err != nil || !got[0].Compacted || got[0].Wrong != nil || got[1].Compacted {
		t.Errorf("of a compacted topic it finds %+v (%v)", got[0], err)
	}
	if err != nil || got[2].Partitions != 3 || got[2].Wrong != nil {
		t.Errorf("after genrec has made it, it finds %+v (%v)", got, err)
	}
}
