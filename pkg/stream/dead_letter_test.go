package stream_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

func deadLetter(original kafka.Message) kafka.Message {
	m := stream.NewDeadLetter(original, "not_json", "cut off")
	m.Topic, m.Partition, m.Offset, m.Time = "interactions.dead", 1, 7, time.UnixMilli(1_772_366_500_000)
	return m
}

func TestDecodeDeadLetter(t *testing.T) {
	original := kafka.Message{
		Topic: "interactions", Partition: 3, Offset: 41, Key: []byte("ann"), Value: []byte("{"), Time: time.UnixMilli(1_772_366_400_000),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}, {Key: stream.HeaderReason, Value: []byte("the producer's own")}},
	}
	got, err := stream.DecodeDeadLetter(deadLetter(original))
	want := stream.DeadLetter{
		Reason: "not_json", Detail: "cut off", Original: original, Time: time.UnixMilli(1_772_366_500_000),
		Topic: "interactions.dead", Partition: 1, Offset: 7,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, error %v\nwant %+v", got, err, want)
	}
	if got.IsReplay() {
		t.Error("IsReplay of an original that was not replayed")
	}
}

func TestReplayMessageHasOneReplayedHeader(t *testing.T) {
	replayed := kafka.Message{Topic: "interactions", Key: []byte("ann"), Value: []byte("{"), Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}}}
	for range 2 {
		l, err := stream.DecodeDeadLetter(deadLetter(replayed))
		if err != nil {
			t.Fatal(err)
		}
		replayed = l.ReplayMessage()
	}
	want := kafka.Message{
		Topic: "interactions", Key: []byte("ann"), Value: []byte("{"),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}, {Key: stream.HeaderReplayed, Value: []byte("interactions.dead/1/7")}},
	}
	if !reflect.DeepEqual(replayed, want) {
		t.Errorf("got %+v, want %+v", replayed, want)
	}
	if l, err := stream.DecodeDeadLetter(deadLetter(replayed)); err != nil || !l.IsReplay() {
		t.Errorf("IsReplay is false for the dead letter of a replay (error %v)", err)
	}
}

func TestDecodeDeadLetterErrors(t *testing.T) {
	for name, m := range map[string]kafka.Message{
		"a foreign message": {Value: []byte("hello")},
		"a bad offset":      {Headers: []kafka.Header{{Key: stream.HeaderReason, Value: []byte("r")}, {Key: stream.HeaderTopic, Value: []byte("t")}, {Key: stream.HeaderPartition, Value: []byte("1")}, {Key: stream.HeaderOffset, Value: []byte("x")}}},
	} {
		if l, err := stream.DecodeDeadLetter(m); err == nil {
			t.Errorf("%s is decoded as %+v", name, l)
		}
	}
}

func FuzzDecodeDeadLetter(f *testing.F) {
	f.Add([]byte("k"), []byte("{"), "trace", []byte("1"), stream.HeaderPartition, []byte("3"))
	f.Add([]byte(nil), []byte(nil), stream.HeaderReplayed, []byte("x/1/2"), stream.HeaderReason, []byte("why"))
	f.Fuzz(func(t *testing.T, key, value []byte, name1 string, header1 []byte, name2 string, header2 []byte) {
		given := kafka.Message{Topic: "i", Key: key, Value: value, Headers: []kafka.Header{{Key: name1, Value: header1}, {Key: name2, Value: header2}}}
		if l, err := stream.DecodeDeadLetter(given); err == nil && (l.Reason == "" || l.Original.Topic == "") {
			t.Fatalf("decoded %+v", l)
		}
		l, err := stream.DecodeDeadLetter(deadLetter(given))
		if err != nil {
			t.Fatalf("the dead letter of any message must be decoded: %v", err)
		}
		if !reflect.DeepEqual(l.Original.Headers, given.Headers) || string(l.Original.Value) != string(value) || string(l.Original.Key) != string(key) {
			t.Fatalf("got %+v, want the original %+v", l.Original, given)
		}
	})
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

func TestEraseDeadLetters(t *testing.T) {
	servers := startWithTopics(t)
	topics := stream.DefaultTopics()
	var messages []kafka.Message
	for i, m := range []kafka.Message{
		{Key: []byte("ann"), Value: []byte("{")},
		{Key: []byte("bob"), Value: []byte(`{"user_id": "bob", "item_id": "ann"}`)},
		{Value: []byte(`{"user_id" : "\u0061nn", "item_`)}, // truncated
		{Value: []byte(`{"user_id": "anna"}`)},
		{Key: []byte("ann")},
	} {
		m.Topic, m.Partition, m.Offset = topics.Interactions, 1, int64(i)
		messages = append(messages, stream.NewDeadLetter(m, "not_json", "detail"))
	}
	w := stream.NewDeadLetterWriter(servers.Cluster(), topics.DeadLetters)
	defer w.Close()
	write := func(messages ...kafka.Message) {
		t.Helper()
		if err := w.WriteMessages(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want string) {
		t.Helper()
		var offsets []int64
		foreign, err := stream.ScanDeadLetters(t.Context(), servers.Cluster(), topics.DeadLetters, stream.Earliest, func(l stream.DeadLetter) error {
			offsets = append(offsets, l.Original.Offset)
			return nil
		})
		slices.Sort(offsets)
		if got := fmt.Sprint(offsets); err != nil || foreign != 0 || got != want {
			t.Errorf("there are the dead letters %s and %d other messages (error %v), want only %s", got, foreign, err, want)
		}
	}
	erase := func(want int) {
		t.Helper()
		if n, err := stream.EraseDeadLetters(t.Context(), quiet, servers.Cluster(), topics.DeadLetters, []string{"ann", "nobody"}, func() {}); err != nil || n != want {
			t.Errorf("erased %d dead letters (error %v), want %d", n, err, want)
		}
	}
	write(messages...)
	left("[0 1 2 3 4]")
	erase(3)
	left("[1 3]")
	erase(0)

	done, err := stream.ReplayDeadLetters(t.Context(), stream.ReplayConfig{Kafka: servers.Cluster(), Topics: topics, Logger: quiet})
	if want := (stream.ReplayResult{Replayed: 2}); err != nil || done != want {
		t.Errorf("replayed %+v (error %v), want %+v", done, err, want)
	}
	write(messages[0]) // read and dead-lettered again
	left("[0 1 3]")
	erase(1)
	left("[1 3]")
	if compacted, err := stream.IsCompacted(t.Context(), servers.Cluster(), topics.DeadLetters); err != nil || !compacted {
		t.Errorf("IsCompacted(dead letters) = %t (error %v), want true", compacted, err)
	}
	if compacted, err := stream.IsCompacted(t.Context(), servers.Cluster(), topics.Interactions); err != nil || compacted {
		t.Errorf("IsCompacted(interactions) = %t (error %v), want false", compacted, err)
	}
}
