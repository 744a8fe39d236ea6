package stream

import (
	"reflect"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func deadLetter(original kafka.Message) kafka.Message {
	m := NewDeadLetter(original, "not_json", "cut off")
	m.Topic, m.Partition, m.Offset, m.Time = "interactions.dead", 1, 7, time.UnixMilli(1_772_366_500_000)
	return m
}

func TestDecodeDeadLetter(t *testing.T) {
	original := kafka.Message{
		Topic: "interactions", Partition: 3, Offset: 41, Key: []byte("ann"), Value: []byte("{"), Time: time.UnixMilli(1_772_366_400_000),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}, {Key: HeaderReason, Value: []byte("the producer's own")}},
	}
	got, err := DecodeDeadLetter(deadLetter(original))
	want := DeadLetter{
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
		l, err := DecodeDeadLetter(deadLetter(replayed))
		if err != nil {
			t.Fatal(err)
		}
		replayed = l.ReplayMessage()
	}
	want := kafka.Message{
		Topic: "interactions", Key: []byte("ann"), Value: []byte("{"),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}, {Key: HeaderReplayed, Value: []byte("interactions.dead/1/7")}},
	}
	if !reflect.DeepEqual(replayed, want) {
		t.Errorf("got %+v, want %+v", replayed, want)
	}
	if l, err := DecodeDeadLetter(deadLetter(replayed)); err != nil || !l.IsReplay() {
		t.Errorf("IsReplay is false for the dead letter of a replay (error %v)", err)
	}
}

func TestDecodeDeadLetterErrors(t *testing.T) {
	for name, m := range map[string]kafka.Message{
		"a foreign message": {Value: []byte("hello")},
		"a bad offset":      {Headers: []kafka.Header{{Key: HeaderReason, Value: []byte("r")}, {Key: HeaderTopic, Value: []byte("t")}, {Key: HeaderPartition, Value: []byte("1")}, {Key: HeaderOffset, Value: []byte("x")}}},
	} {
		if l, err := DecodeDeadLetter(m); err == nil {
			t.Errorf("%s is decoded as %+v", name, l)
		}
	}
}

func FuzzDecodeDeadLetter(f *testing.F) {
	f.Add([]byte("k"), []byte("{"), "trace", []byte("1"), HeaderPartition, []byte("3"))
	f.Add([]byte(nil), []byte(nil), HeaderReplayed, []byte("x/1/2"), HeaderReason, []byte("why"))
	f.Fuzz(func(t *testing.T, key, value []byte, name1 string, header1 []byte, name2 string, header2 []byte) {
		given := kafka.Message{Topic: "i", Key: key, Value: value, Headers: []kafka.Header{{Key: name1, Value: header1}, {Key: name2, Value: header2}}}
		if l, err := DecodeDeadLetter(given); err == nil && (l.Reason == "" || l.Original.Topic == "") {
			t.Fatalf("decoded %+v", l)
		}
		l, err := DecodeDeadLetter(deadLetter(given))
		if err != nil {
			t.Fatalf("the dead letter of any message must be decoded: %v", err)
		}
		if !reflect.DeepEqual(l.Original.Headers, given.Headers) || string(l.Original.Value) != string(value) || string(l.Original.Key) != string(key) {
			t.Fatalf("got %+v, want the original %+v", l.Original, given)
		}
	})
}
