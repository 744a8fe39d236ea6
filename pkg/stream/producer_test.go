package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// startWithLimit starts Kafka with a topic of two partitions with a max.message.bytes.
func startWithLimit(t *testing.T, topic string, limit int) *embeddedtest.Servers {
	t.Helper()
	servers := embeddedtest.StartEmpty(t)
	created, err := servers.Client().CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(limit)}},
	}}})
	if err = errors.Join(err, created.Errors[topic]); err != nil {
		t.Fatal(err)
	}
	servers.Ends(topic) // waits for the leaders
	kafka.DefaultTransport.(*kafka.Transport).CloseIdleConnections()
	return servers
}

// valued returns a message for each value size; its key is its index.
func valued(sizes ...int) (messages []kafka.Message) {
	for i, n := range sizes {
		messages = append(messages, kafka.Message{Key: []byte(strconv.Itoa(i)), Value: bytes.Repeat([]byte("v"), n)})
	}
	return messages
}

// wantKeys checks that a topic contains exactly the messages with these keys.
func wantKeys(t *testing.T, servers *embeddedtest.Servers, topic string, want ...string) {
	t.Helper()
	got := keys(t, servers, topic)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("topic %q has the keys %q, want %q", topic, got, want)
	}
}

// rejectedKeys returns the keys of the messages that were rejected.
func rejectedKeys(t *testing.T, err error) (rejected []string) {
	t.Helper()
	var rejection *stream.RejectedError
	if !errors.As(err, &rejection) {
		t.Fatalf("got error %v, want a RejectedError", err)
	}
	for _, r := range rejection.Messages {
		rejected = append(rejected, string(r.Message.Key))
	}
	slices.Sort(rejected)
	return rejected
}

// A message that is too large for the writer does not hold up the others.
func TestPublishReturnsWhatTheWriterRejects(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	err := stream.Publish(t.Context(), quiet, w, valued(1, stream.MaxBytes, 1, 2*stream.MaxBytes, 1)...)
	if got := rejectedKeys(t, err); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("rejected %q, want 1 and 3", got)
	}
	for _, want := range []string{topic, `key "1"`, strconv.Itoa(stream.MaxBytes+1) + " bytes", "max.message.bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if !errors.Is(err, kafka.MessageSizeTooLarge) {
		t.Errorf("error %v does not say why", err)
	}
	wantKeys(t, servers, topic, "0", "2", "4")
}

// A topic's limit may be lower than the writer's: a batch that is too large is split, and only
// messages that are too large alone are rejected.
func TestPublishReturnsWhatTheBrokerRejects(t *testing.T) {
	const topic, limit = "small", 2000
	servers := startWithLimit(t, topic, limit)
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	sizes := slices.Repeat([]int{150}, 60)
	sizes[7], sizes[41] = 3*limit, 2*limit
	err := stream.Publish(t.Context(), quiet, w, valued(sizes...)...)
	if got := rejectedKeys(t, err); !slices.Equal(got, []string{"41", "7"}) {
		t.Errorf("rejected %q, want 41 and 7", got)
	}
	var want []string
	for i := range sizes {
		if i != 7 && i != 41 {
			want = append(want, strconv.Itoa(i))
		}
	}
	wantKeys(t, servers, topic, want...)
	if err := stream.Publish(t.Context(), quiet, w, valued(10)...); err != nil {
		t.Errorf("the writer cannot be used any more: %v", err)
	}
}

// Concurrent calls share the writer's batches; small messages must not be rejected because their
// batch is too large.
func TestConcurrentPublishRejectsNothingSmall(t *testing.T) {
	const topic, limit = "small", 2000
	servers := startWithLimit(t, topic, limit)
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			for range 5 {
				if err := stream.Publish(t.Context(), quiet, w, valued(slices.Repeat([]int{700}, 4)...)...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	if got := len(keys(t, servers, topic)); got != 16*5*4 {
		t.Errorf("%d messages were written, want each of the %d once", got, 16*5*4)
	}
}

// Messages that the broker finds invalid are rejected; those with transient errors are retried.
func TestPublishDistinguishesErrors(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{0}, Err: kerr.InvalidRecord, Count: -1})
	servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{1}, Err: kerr.NotEnoughReplicas, Count: 4})
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	err := stream.Publish(t.Context(), quiet, w, valued(slices.Repeat([]int{1}, 20)...)...)
	rejected := rejectedKeys(t, err)
	written := keys(t, servers, topic)
	if len(written) == 0 || len(rejected) == 0 || len(written)+len(rejected) != 20 || slices.ContainsFunc(written, func(key string) bool { return slices.Contains(rejected, key) }) {
		t.Errorf("wrote %q and rejected %q, want each message once, by its partition", written, rejected)
	}
	if !errors.Is(err, kafka.InvalidRecord) {
		t.Errorf("error %v does not say why", err)
	}
}

// Permissions can be granted while the process retries.
func TestPublishRetriesWithoutPermission(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: 3})
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	var logged bytes.Buffer
	if err := stream.Publish(t.Context(), slog.New(slog.NewTextHandler(&logged, nil)), w, valued(1, 1, 1)...); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "grant this user Describe, Read and Write") {
		t.Errorf("the log has no hint:\n%s", &logged)
	}
	wantKeys(t, servers, topic, "0", "1", "2")
}

func TestPublishToClosedWriter(t *testing.T) {
	servers := startWithTopics(t)
	w := stream.NewWriter(servers.Cluster(), stream.DefaultTopics().Refreshes)
	w.Close()
	if err := stream.Publish(t.Context(), quiet, w, valued(1)...); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want io.ErrClosedPipe", err)
	}
}

// A dead-letter topic that was created by other means may have a lower limit.
func TestPublishTruncatesDeadLetters(t *testing.T) {
	const topic, limit = "dead", 3000
	servers := startWithLimit(t, topic, limit)
	w := stream.NewDeadLetterWriter(servers.Cluster(), topic)
	defer w.Close()
	var deadLetters []kafka.Message
	for i, n := range []int{10, limit, 100 * limit, 0} {
		m := kafka.Message{Topic: "interactions", Partition: 1, Offset: int64(i), Key: []byte("ann"), Value: bytes.Repeat([]byte("v"), n)}
		if n == 0 {
			m.Headers = []kafka.Header{{Key: "large", Value: bytes.Repeat([]byte("h"), limit)}}
		}
		deadLetters = append(deadLetters, stream.NewDeadLetter(m, "bad_id", "detail"))
	}
	if err := stream.Publish(t.Context(), quiet, w, deadLetters...); err != nil {
		t.Fatal(err)
	}
	found := make(map[int64]string)
	_, err := stream.ScanDeadLetters(t.Context(), servers.Cluster(), topic, stream.Earliest, func(l stream.DeadLetter) error {
		found[l.Original.Offset] = fmt.Sprint(l.TruncatedFrom, string(l.Original.Key), l.Reason, len(l.Original.Headers))
		if l.TruncatedFrom > 0 && (len(l.Original.Value) == 0 || len(l.Original.Value) >= limit) {
			t.Errorf("%d bytes are left of %d, want fewer than the topic's limit, and some", len(l.Original.Value), l.TruncatedFrom)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64]string{0: "0annbad_id0", 1: "3000annbad_id0", 2: "300000annbad_id0", 3: "0annbad_id0"}
	for offset, text := range want {
		if found[offset] != text {
			t.Errorf("the dead letter of offset %d is %q, want %q", offset, found[offset], text)
		}
	}
}

// A dead letter that cannot be truncated further is rejected.
func TestPublishRejectsDeadLetterOfTinyTopic(t *testing.T) {
	const topic, limit = "dead", 150
	servers := startWithLimit(t, topic, limit)
	w := stream.NewDeadLetterWriter(servers.Cluster(), topic)
	defer w.Close()
	m := kafka.Message{Topic: "interactions", Value: bytes.Repeat([]byte("v"), 10_000)}
	err := stream.Publish(t.Context(), quiet, w, stream.NewDeadLetter(m, "bad_id", "detail"))
	if got := rejectedKeys(t, err); len(got) != 1 {
		t.Errorf("rejected %q, want the dead letter", got)
	}
}

func TestReplaySkipsRejectedMessages(t *testing.T) {
	servers := startWithTopics(t)
	large := original("interactions", "large", "a")
	large.Value = bytes.Repeat([]byte("v"), stream.MaxBytes+1)
	writeDeadLetters(t, servers, original("interactions", "a1", "a"), large, original("refreshes", "a2", "a"))
	cfg := stream.ReplayConfig{Kafka: servers.Cluster(), Topics: stream.DefaultTopics(), Logger: quiet}
	for _, want := range []stream.ReplayResult{{Replayed: 2, Rejected: 1}, {AlreadyReplayed: 3}} {
		if got, err := stream.ReplayDeadLetters(t.Context(), cfg); err != nil || got != want {
			t.Errorf("got %+v, error %v; want %+v", got, err, want)
		}
	}
	wantKeys(t, servers, "interactions", "a1")
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
