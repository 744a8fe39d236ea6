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

// startWithLimit starts a Kafka with a topic of two partitions that takes batches of so many bytes.
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

// valued returns a message for each size, whose key is its number.
func valued(sizes ...int) (messages []kafka.Message) {
	for i, n := range sizes {
		messages = append(messages, kafka.Message{Key: []byte(strconv.Itoa(i)), Value: bytes.Repeat([]byte("v"), n)})
	}
	return messages
}

// wantKeys checks that the messages of these keys are in a topic, each once.
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
	var refused *stream.RejectedError
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want a RejectedError", err)
	}
	for _, r := range refused.Messages {
		rejected = append(rejected, string(r.Message.Key))
	}
	slices.Sort(rejected)
	return rejected
}

// A message that is too large for the writer keeps no other one back.
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

// A topic may take less than the writer: a batch that is too large is divided, and of its
// messages none is rejected but those that are so alone.
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
		t.Errorf("the writer is of no use any more: %v", err)
	}
}

// Calls at once share a writer's batches, and must not be taken for too large together.
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

// Messages that the broker finds invalid come back too, and those that only fail for now do not.
func TestPublishSortsErrors(t *testing.T) {
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

// Rights can be given while the process waits.
func TestPublishWaitsForRights(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	servers.Faults().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: 3})
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	var logged bytes.Buffer
	if err := stream.Publish(t.Context(), slog.New(slog.NewTextHandler(&logged, nil)), w, valued(1, 1, 1)...); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "let this user Describe, Read and Write") {
		t.Errorf("the log does not say what to do:\n%s", &logged)
	}
	wantKeys(t, servers, topic, "0", "1", "2")
}

func TestPublishToAClosedWriter(t *testing.T) {
	servers := startWithTopics(t)
	w := stream.NewWriter(servers.Cluster(), stream.DefaultTopics().Refreshes)
	w.Close()
	if err := stream.Publish(t.Context(), quiet, w, valued(1)...); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want the end of the writer", err)
	}
}

// A dead-letter topic that was made elsewhere may take less than genrec's.
func TestPublishCutsDeadLetters(t *testing.T) {
	const topic, limit = "dead", 3000
	servers := startWithLimit(t, topic, limit)
	w := stream.NewDeadLetterWriter(servers.Cluster(), topic)
	defer w.Close()
	var letters []kafka.Message
	for i, n := range []int{10, limit, 100 * limit, 0} {
		m := kafka.Message{Topic: "interactions", Partition: 1, Offset: int64(i), Key: []byte("ann"), Value: bytes.Repeat([]byte("v"), n)}
		if n == 0 {
			m.Headers = []kafka.Header{{Key: "large", Value: bytes.Repeat([]byte("h"), limit)}}
		}
		letters = append(letters, stream.DeadLetter(m, "bad_id", "detail"))
	}
	if err := stream.Publish(t.Context(), quiet, w, letters...); err != nil {
		t.Fatal(err)
	}
	found := make(map[int64]string)
	_, err := stream.Letters(t.Context(), servers.Cluster(), topic, stream.Earliest, func(l stream.Letter) error {
		found[l.Original.Offset] = fmt.Sprint(l.CutFrom, string(l.Original.Key), l.Reason, len(l.Original.Headers))
		if l.CutFrom > 0 && (len(l.Original.Value) == 0 || len(l.Original.Value) >= limit) {
			t.Errorf("%d bytes are left of %d, want as many as the topic takes", len(l.Original.Value), l.CutFrom)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64]string{0: "0annbad_id0", 1: "3000annbad_id0", 2: "300000annbad_id0", 3: "0annbad_id0"}
	for offset, letter := range want {
		if found[offset] != letter {
			t.Errorf("the letter of offset %d is %q, want %q", offset, found[offset], letter)
		}
	}
}

// What cannot be cut any further is rejected.
func TestPublishRejectsLettersOfTinyTopics(t *testing.T) {
	const topic, limit = "dead", 150
	servers := startWithLimit(t, topic, limit)
	w := stream.NewDeadLetterWriter(servers.Cluster(), topic)
	defer w.Close()
	m := kafka.Message{Topic: "interactions", Value: bytes.Repeat([]byte("v"), 10_000)}
	err := stream.Publish(t.Context(), quiet, w, stream.DeadLetter(m, "bad_id", "detail"))
	if got := rejectedKeys(t, err); len(got) != 1 {
		t.Errorf("rejected %q, want the letter", got)
	}
}

func TestReplayPassesOverWhatIsRejected(t *testing.T) {
	servers := startWithTopics(t)
	large := original("interactions", "large", "a")
	large.Value = bytes.Repeat([]byte("v"), stream.MaxBytes+1)
	bury(t, servers, original("interactions", "a1", "a"), large, original("refreshes", "a2", "a"))
	cfg := stream.ReplayConfig{Kafka: servers.Cluster(), Topics: stream.DefaultTopics(), Logger: quiet}
	for _, want := range []stream.Replayed{{Replayed: 2, Rejected: 1}, {Before: 3}} {
		if got, err := stream.Replay(t.Context(), cfg); err != nil || got != want {
			t.Errorf("got %+v, error %v; want %+v", got, err, want)
		}
	}
	wantKeys(t, servers, "interactions", "a1")
}
