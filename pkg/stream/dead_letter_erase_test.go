package stream_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

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
