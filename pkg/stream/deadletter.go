package stream

import (
	"slices"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// Headers that a dead letter has beside the headers of the original message.
const (
	HeaderReason    = "genrec-reason"    // short, stable code
	HeaderDetail    = "genrec-detail"    // for people
	HeaderTopic     = "genrec-topic"     // where the original message is
	HeaderPartition = "genrec-partition" // decimal
	HeaderOffset    = "genrec-offset"    // decimal
	HeaderCut       = "genrec-cut"       // only if the value was cut: its length in bytes, decimal
)

// maxCarried bounds the bytes of an original in its dead letter, and leaves
// room for the headers above.
const maxCarried = MaxDeadLetterBytes - 16<<10

// DeadLetter returns the message to write to the dead-letter topic for m: the
// same key, value and headers, and what is wrong with it. Compression can take
// a message past any limit on the way in; to not get stuck on one that the
// dead-letter topic cannot hold, only the beginning of its value is kept.
func DeadLetter(m kafka.Message, reason, detail string) kafka.Message {
	dead := kafka.Message{Key: m.Key, Value: m.Value, Headers: slices.Clone(m.Headers)}
	add := func(key, value string) {
		dead.Headers = append(dead.Headers, kafka.Header{Key: key, Value: []byte(value)})
	}
	if size(m) > maxCarried {
		dead = kafka.Message{Value: m.Value[:min(len(m.Value), maxCarried)]}
		add(HeaderCut, strconv.Itoa(len(m.Value)))
	}
	add(HeaderReason, reason)
	add(HeaderDetail, detail)
	add(HeaderTopic, m.Topic)
	add(HeaderPartition, strconv.Itoa(m.Partition))
	add(HeaderOffset, strconv.FormatInt(m.Offset, 10))
	return dead
}

func size(m kafka.Message) int {
	const perHeader = 10 // two lengths, each at most 5 bytes
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + perHeader
	}
	return n
}
