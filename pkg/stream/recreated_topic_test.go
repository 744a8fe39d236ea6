package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"genrec/pkg/embedded"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
)

// writeTo writes values to a partition. A topic that has just been created may not have leaders
// yet.
func writeTo(t *testing.T, servers *embeddedtest.Servers, topic string, partition int, values ...string) {
	t.Helper()
	for _, value := range values {
		embeddedtest.Eventually(t, func() string {
			transport := servers.Cluster().NewTransport() // without cached metadata of the deleted topic
			defer transport.CloseIdleConnections()
			client := &kafkago.Client{Addr: kafkago.TCP(servers.KafkaBrokers()...), Transport: transport}
			response, err := client.Produce(t.Context(), &kafkago.ProduceRequest{
				Topic: topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
				Records: kafkago.NewRecordReader(kafkago.Record{Value: kafkago.NewBytes([]byte(value))}),
			})
			if err == nil {
				err = response.Error
			}
			if err != nil {
				return fmt.Sprintf("write %q: %v", value, err)
			}
			return ""
		})
	}
}

func numbered(prefix string, n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprint(prefix, i))
	}
	return values
}

// awaitAll waits until all values were read, at least once each.
func (r *readings) awaitAll(t *testing.T, want []string) {
	t.Helper()
	embeddedtest.Eventually(t, func() string {
		got := r.all()
		for _, value := range want {
			if !slices.Contains(got, value) {
				return fmt.Sprintf("%q is not read: %q", value, got)
			}
		}
		return ""
	})
}

// A topic that is deleted and created again, at once or later, is read from its beginning, with
// fewer or more messages than before and with another number of partitions.
func TestRecreatedTopicIsReadFromItsBeginning(t *testing.T) {
	for _, c := range []struct {
		name       string
		pause      time.Duration
		messages   int // in each partition; the deleted topic had 5
		partitions int
	}{
		{"at once, fewer", 0, 3, 2},
		{"at once, more", 0, 20, 2},
		{"later, fewer", 4 * time.Second, 3, 2},
		{"later, more, in more partitions", 4 * time.Second, 20, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			servers := startWithTopics(t)
			topic := stream.DefaultTopics().Interactions
			got := consume(t, stream.GroupConfig{Kafka: servers.Cluster(), Group: "readers", Topic: topic, Logger: quiet})
			before := append(numbered("before-0-", 5), numbered("before-1-", 5)...)
			writeTo(t, servers, topic, 0, before[:5]...)
			writeTo(t, servers, topic, 1, before[5:]...)
			got.awaitAll(t, before)
			servers.Delete(topic)
			time.Sleep(c.pause)
			servers.Create(topic, c.partitions)
			var after []string
			for partition := range c.partitions {
				values := numbered(fmt.Sprintf("after-%d-", partition), c.messages)
				writeTo(t, servers, topic, partition, values...)
				after = append(after, values...)
			}
			got.awaitAll(t, after)
			// The new offsets are committed.
			embeddedtest.Eventually(t, func() string {
				if lag, err := stream.Lag(t.Context(), servers.Cluster(), "readers", topic); err != nil || lag != 0 {
					return fmt.Sprintf("the lag is %d (error %v), want 0", lag, err)
				}
				return ""
			})
		})
	}
}

// A committed offset beyond the end of the partition is reset, also by a member that has not seen
// the topic's predecessor.
func TestOffsetBeyondTheEndIsReset(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	writeTo(t, servers, topic, 0, "a", "b")
	commit(t, servers, "readers", topic, 1000)
	got := consume(t, stream.GroupConfig{Kafka: servers.Cluster(), Group: "readers", Topic: topic, Logger: quiet})
	got.awaitAll(t, []string{"a", "b"})
}

func commit(t *testing.T, servers *embeddedtest.Servers, group, topic string, offset int64) {
	t.Helper()
	response, err := servers.Client().OffsetCommit(t.Context(), &kafkago.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafkago.OffsetCommit{topic: {{Partition: 0, Offset: offset}}},
	})
	if err == nil {
		err = response.Topics[topic][0].Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Deleted topics are created again with their number of partitions; until then Ready returns an
// error.
func TestTopicWatcherCreatesDeletedTopics(t *testing.T) {
	servers := startWithTopics(t) // two partitions each
	topics := stream.DefaultTopics()
	watcher := stream.NewTopicWatcher(servers.Cluster(), topics, 7, quiet)
	service := embeddedtest.Run(t, watcher.Run)
	defer service.Stop()
	time.Sleep(3 * time.Second) // until it has seen the topics
	if err := watcher.Ready(); err != nil {
		t.Errorf("Ready with all topics: %v", err)
	}
	servers.Delete(topics.Refreshes, topics.DeadLetters)
	embeddedtest.Eventually(t, func() string {
		if err := watcher.Ready(); err == nil || !strings.Contains(err.Error(), topics.Refreshes) || !strings.Contains(err.Error(), topics.DeadLetters) {
			return fmt.Sprintf("Ready without topics: %v", err)
		}
		return ""
	})
	embeddedtest.Eventually(t, func() string {
		if err := watcher.Ready(); err != nil {
			return fmt.Sprintf("Ready after a while: %v", err)
		}
		return ""
	})
	states, err := stream.InspectTopics(context.WithoutCancel(t.Context()), servers.Cluster(), topics)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		if state.Partitions != 2 || state.WrongSettings != nil || state.Compacted {
			t.Errorf("a topic is %+v, want two partitions and the settings that genrec needs", state)
		}
	}
}

// The log says how many messages retention has removed before they were read.
func TestMessagesLostToRetentionAreCounted(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	writeTo(t, servers, topic, 0, numbered("m", 10)...)
	commit(t, servers, "readers", topic, 2)
	servers.Trim(topic, 0, 7)
	var log bytes.Buffer
	got := consume(t, stream.GroupConfig{Kafka: servers.Cluster(), Group: "readers", Topic: topic, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	got.await(t, "m7", "m8", "m9")
	if !strings.Contains(log.String(), "messages were deleted before they were read") || !strings.Contains(log.String(), "from=2 to=7 messages=5") {
		t.Errorf("the log does not mention 5 lost messages: %s", log.String())
	}
}

// wipeable is a Kafka whose disk can be replaced.
type wipeable struct {
	cluster stream.Cluster
	wipe    func()
}

func startWipeable(t *testing.T) wipeable {
	t.Helper()
	if embeddedtest.Real() {
		k, err := testservers.StartKafka(t.Context(), testservers.KafkaConfig{Jars: os.Getenv(embeddedtest.JarsVariable), Folder: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return wipeable{stream.Cluster{Brokers: []string{k.Address()}}, func() {
			k.Kill()
			if err := errors.Join(k.Wipe(t.Context()), k.Start(t.Context())); err != nil {
				t.Fatal(err)
			}
		}}
	}
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { servers.Close() })
	_, text, err := net.SplitHostPort(servers.KafkaBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return wipeable{stream.Cluster{Brokers: servers.KafkaBrokers()}, func() {
		servers.Close()
		if servers, err = embedded.Start(t.Context(), embedded.Config{KafkaPort: port}); err != nil {
			t.Fatal(err)
		}
	}}
}

// After Kafka has lost all data, its topics are created again and consumers continue.
func TestWipedKafka(t *testing.T) {
	kafka := startWipeable(t)
	topics := stream.DefaultTopics()
	if err := stream.EnsureTopics(t.Context(), kafka.cluster, topics, 2); err != nil {
		t.Fatal(err)
	}
	watcher := stream.NewTopicWatcher(kafka.cluster, topics, 2, quiet)
	service := embeddedtest.Run(t, watcher.Run)
	defer service.Stop()
	got := consume(t, stream.GroupConfig{Kafka: kafka.cluster, Group: "readers", Topic: topics.Interactions, Logger: quiet})
	w := stream.NewWriter(kafka.cluster, topics.Interactions)
	defer w.Close()
	write := func(values []string) {
		t.Helper()
		messages := make([]kafkago.Message, len(values))
		for i, value := range values {
			messages[i] = kafkago.Message{Key: []byte(value), Value: []byte(value)}
		}
		if err := stream.Publish(t.Context(), quiet, w, messages...); err != nil {
			t.Fatal(err)
		}
	}
	before, after := numbered("before-", 20), numbered("after-", 10)
	write(before)
	got.awaitAll(t, before)
	kafka.wipe()
	write(after) // once the topic exists again
	got.awaitAll(t, after)
	embeddedtest.Eventually(t, func() string {
		if err := watcher.Ready(); err != nil {
			return fmt.Sprintf("Ready: %v", err)
		}
		return ""
	})
}
