package stream_test

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

func TestEnsureTopicsCreatesMissingTopics(t *testing.T) {
	servers := embeddedtest.StartEmpty(t)
	topics := stream.DefaultTopics()
	created, err := servers.Client().CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topics.Interactions, NumPartitions: 7, ReplicationFactor: 1}},
	})
	if err = errors.Join(err, created.Errors[topics.Interactions]); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, nothing is missing
		if err := stream.EnsureTopics(t.Context(), servers.Cluster(), topics, 3); err != nil {
			t.Fatal(err)
		}
	}
	for topic, partitions := range map[string]int{topics.Interactions: 7, topics.DeadLetters: 3, topics.Refreshes: 3} {
		if got := len(servers.Ends(topic)); got != partitions {
			t.Errorf("topic %s has %d partitions, want %d", topic, got, partitions)
		}
	}
	described, err := servers.Client().DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topics.DeadLetters, ConfigNames: []string{"max.message.bytes"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	limit := described.Resources[0].ConfigEntries
	if len(limit) != 1 || limit[0].ConfigValue != strconv.Itoa(stream.MaxDeadLetterBytes) {
		t.Errorf("the dead-letter topic's limit is %v, want max.message.bytes of %d", limit, stream.MaxDeadLetterBytes)
	}
}

func TestEnsureTopicsNamesTheFailedTopic(t *testing.T) {
	servers := embeddedtest.StartEmpty(t)
	servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "refreshes", Err: kerr.PolicyViolation})
	err := stream.EnsureTopics(t.Context(), servers.Cluster(), stream.DefaultTopics(), 1)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte(`"refreshes"`)) {
		t.Errorf("got error %v, want one that names the topic refreshes", err)
	}
}

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
