package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

func startWithTopics(t *testing.T) *embeddedtest.Servers {
	t.Helper()
	servers, _ := embeddedtest.Start(t)
	return servers
}

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

func TestMessagesOfOneKeyArriveInOrder(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	const n = 300
	for i := range n / 10 {
		var messages []kafka.Message
		for j := range 10 {
			messages = append(messages, kafka.Message{Key: []byte("user"), Value: []byte(strconv.Itoa(10*i + j))})
		}
		if err := stream.Publish(t.Context(), quiet, w, messages...); err != nil {
			t.Fatal(err)
		}
	}
	messages := servers.Messages(topic)
	if len(messages) != n {
		t.Fatalf("the topic has %d messages, want %d", len(messages), n)
	}
	for i, m := range messages {
		if string(m.Value) != strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, m.Value)
		}
	}
}

func TestPublishRetriesOnlyWhatFailed(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	// Partition 0 fails more often than the writer retries in one call.
	fault := servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: 4,
	})
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	const n = 20
	var messages []kafka.Message
	for i := range n {
		messages = append(messages, kafka.Message{Key: []byte(strconv.Itoa(i)), Value: []byte("value")})
	}
	if err := stream.Publish(t.Context(), quiet, w, messages...); err != nil {
		t.Fatal(err)
	}
	if fault.Hits() != 4 {
		t.Fatalf("partition 0 failed %d requests, want 4", fault.Hits())
	}
	var written int64
	for _, end := range servers.Ends(topic) {
		written += end
	}
	if written != n {
		t.Errorf("%d messages were written, want each of the %d once", written, n)
	}
}

func TestLargestMessageFitsTheDeadLetterTopic(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().DeadLetters
	w := stream.NewDeadLetterWriter(servers.Cluster(), topic)
	defer w.Close()
	original := kafka.Message{Topic: "interactions", Value: bytes.Repeat([]byte("v"), stream.MaxBytes)}
	oversized := kafka.Message{Topic: "interactions", Value: bytes.Repeat([]byte("v"), 3*stream.MaxDeadLetterBytes)}
	err := stream.Publish(t.Context(), quiet, w,
		stream.NewDeadLetter(original, "too_large", "detail"), stream.NewDeadLetter(oversized, "too_large", "detail"))
	if err != nil {
		t.Fatal(err)
	}
	messages := servers.Messages(topic)
	if len(messages) != 2 {
		t.Fatalf("the topic has %d messages, want 2", len(messages))
	}
	for _, m := range messages {
		if cut := header(m, stream.HeaderCut); cut != "" {
			if cut != strconv.Itoa(len(oversized.Value)) || !bytes.HasPrefix(oversized.Value, m.Value) {
				t.Errorf("the truncated message has the header %q, want the original length %d", cut, len(oversized.Value))
			}
		} else if !bytes.Equal(m.Value, original.Value) {
			t.Errorf("got %d bytes of the message of %d bytes", len(m.Value), len(original.Value))
		}
	}
}

func TestDeadLetterKeepsTheOriginal(t *testing.T) {
	original := kafka.Message{
		Topic: "interactions", Partition: 3, Offset: 41, Key: []byte("user"), Value: []byte("{"),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}}, Time: time.UnixMilli(1_772_366_400_000),
	}
	dead := stream.NewDeadLetter(original, "not_json", "cut off")
	want := map[string]string{
		"trace": "abc", "genrec-reason": "not_json", "genrec-detail": "cut off",
		"genrec-topic": "interactions", "genrec-partition": "3", "genrec-offset": "41", "genrec-key": "user", "genrec-time": "1772366400000",
	}
	for key, value := range want {
		if got := header(dead, key); got != value {
			t.Errorf("header %s is %q, want %q", key, got, value)
		}
	}
	if len(dead.Headers) != len(want) {
		t.Errorf("got %d headers, want %d", len(dead.Headers), len(want))
	}
	if string(dead.Key) != "interactions/3/41" || string(dead.Value) != "{" {
		t.Errorf("got key %q and value %q, want the original's position and value", dead.Key, dead.Value)
	}
	if len(original.Headers) != 1 {
		t.Error("NewDeadLetter must not change the original's headers")
	}
}

func header(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// A member that reads an empty topic gets the first message, and reports no lost messages.
func TestConsumeFromEmptyTopic(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	var logged bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	received := make(chan []kafka.Message)
	done := make(chan error, 1)
	go func() {
		done <- stream.Consume(ctx, stream.GroupConfig{
			Kafka: servers.Cluster(), Group: "group", Topic: topic,
			Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError})),
		}, func(ctx context.Context, p *stream.Partition) error {
			for {
				messages, err := p.FetchBatch(ctx)
				if err != nil {
					return err
				}
				select {
				case received <- messages:
				case <-ctx.Done():
				}
			}
		})
	}()
	time.Sleep(4 * time.Second) // until each partition has had an empty fetch response
	writer := stream.NewWriter(servers.Cluster(), topic)
	defer writer.Close()
	if err := stream.Publish(t.Context(), quiet, writer, kafka.Message{Key: []byte("ann"), Value: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	select {
	case messages := <-received:
		if len(messages) != 1 || string(messages[0].Value) != "first" {
			t.Errorf("received %v", messages)
		}
	case <-time.After(10 * time.Second):
		t.Error("the first message of the topic was skipped")
	}
	stop()
	<-done
	if logged.Len() > 0 {
		t.Errorf("logged %s", logged.String())
	}
}
