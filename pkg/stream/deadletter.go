package stream

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Headers that a dead letter has beside the headers of the original message.
const (
	HeaderReason    = "genrec-reason"    // short, stable code
	HeaderDetail    = "genrec-detail"    // for people
	HeaderKey       = "genrec-key"       // of the original message, if it had one
	HeaderTopic     = "genrec-topic"     // where the original message is
	HeaderPartition = "genrec-partition" // decimal
	HeaderOffset    = "genrec-offset"    // decimal
	HeaderTime      = "genrec-time"      // when the original message was produced, Unix ms, decimal
	HeaderCut       = "genrec-cut"       // only if the value was cut: its length in bytes, decimal
)

// HeaderReplayed marks a message that was written again from a dead letter:
// TOPIC/PARTITION/OFFSET of the letter.
const HeaderReplayed = "genrec-replayed"

// maxCarried bounds the bytes of an original in its dead letter, and leaves
// room for the headers above.
const maxCarried = MaxDeadLetterBytes - 16<<10

// maxDetail bounds what is said for people; it can have a stack.
const maxDetail = 4 << 10

// maxKey bounds the key that even the letter of an oversized message keeps; those of
// users are shorter.
const maxKey = 1 << 10

// DeadLetter returns the message to write to the dead-letter topic for m: the
// same value and headers, and what is wrong with it. Its key is the place of m and thus
// its own, so that it can be erased (EraseLetters). Compression can take
// a message past any limit on the way in; to not get stuck on one that the
// dead-letter topic cannot hold, only the beginning of its value is kept.
func DeadLetter(m kafka.Message, reason, detail string) kafka.Message {
	dead := kafka.Message{Value: m.Value, Headers: slices.Clone(m.Headers)}
	key := m.Key
	add := func(key, value string) {
		dead.Headers = append(dead.Headers, kafka.Header{Key: key, Value: []byte(value)})
	}
	if size(m) > maxCarried {
		dead = kafka.Message{Value: m.Value[:min(len(m.Value), maxCarried)]}
		if len(key) > maxKey {
			key = nil
		}
		add(HeaderCut, strconv.Itoa(len(m.Value)))
	}
	add(HeaderReason, reason)
	add(HeaderDetail, strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], ""))
	if key != nil {
		add(HeaderKey, string(key))
	}
	add(HeaderTopic, m.Topic)
	add(HeaderPartition, strconv.Itoa(m.Partition))
	add(HeaderOffset, strconv.FormatInt(m.Offset, 10))
	add(HeaderTime, strconv.FormatInt(m.Time.UnixMilli(), 10))
	dead.Key = []byte(placeOf(m.Topic, m.Partition, m.Offset))
	return dead
}

// cutLetter returns a dead letter with less of the original than before: without its headers,
// and with half of its value. ok is false for any other message, and if nothing is
// left of the original.
func cutLetter(m kafka.Message) (shorter kafka.Message, ok bool) {
	const least = 1 << 10 // bytes that are worth another attempt
	own, others := splitHeaders(m.Headers)
	if own[HeaderReason] == "" || own[HeaderTopic] == "" || len(m.Value) == 0 && len(others) == 0 {
		return kafka.Message{}, false
	}
	kept := len(m.Value) / 2
	if kept < least {
		kept = 0
	}
	shorter = m
	shorter.Value, shorter.Headers = m.Value[:kept], slices.Clone(m.Headers[len(others):])
	if own[HeaderCut] == "" {
		shorter.Headers = append(shorter.Headers, kafka.Header{Key: HeaderCut, Value: []byte(strconv.Itoa(len(m.Value)))})
	}
	return shorter, true
}

// ReasonOf returns the reason of what DeadLetter returned.
func ReasonOf(dead kafka.Message) string { return headers{&dead}.Get(HeaderReason) }

// Letter is a dead letter as it lies in its topic.
type Letter struct {
	Reason, Detail string
	Original       kafka.Message // with its place
	CutFrom        int           // bytes that the original's value had, if not all of them are left
	Buried         time.Time
	Topic          string
	Partition      int
	Offset         int64
}

// OpenLetter takes a message of the dead-letter topic apart.
func OpenLetter(m kafka.Message) (Letter, error) {
	l := Letter{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Buried: m.Time}
	own, headers := splitHeaders(m.Headers)
	l.Reason, l.Detail = own[HeaderReason], own[HeaderDetail]
	l.Original = kafka.Message{Topic: own[HeaderTopic], Value: m.Value, Headers: slices.Clone(headers)}
	if l.Reason == "" || l.Original.Topic == "" {
		return Letter{}, fmt.Errorf("message %s is not a dead letter: it has no %s or no %s", l.Place(), HeaderReason, HeaderTopic)
	}
	for name, field := range map[string]func(int64){
		HeaderPartition: func(n int64) { l.Original.Partition = int(n) },
		HeaderOffset:    func(n int64) { l.Original.Offset = n },
		HeaderTime:      func(n int64) { l.Original.Time = time.UnixMilli(n) },
		HeaderCut:       func(n int64) { l.CutFrom = int(n) },
	} {
		text, have := own[name]
		if !have && (name == HeaderCut || name == HeaderTime) { // letters of before have no time
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Letter{}, fmt.Errorf("dead letter %s: header %s: %w", l.Place(), name, err)
		}
		field(n)
	}
	key, have := own[HeaderKey]
	switch {
	case have:
		l.Original.Key = []byte(key)
	case string(m.Key) != placeOf(l.Original.Topic, l.Original.Partition, l.Original.Offset):
		l.Original.Key = m.Key // letters of before had the original's
	}
	return l, nil
}

// splitHeaders returns the letter's own headers, which come last, and those of the original.
func splitHeaders(all []kafka.Header) (own map[string]string, original []kafka.Header) {
	own = make(map[string]string)
	for original = all; len(original) > 0; original = original[:len(original)-1] {
		// The original can have had headers of the same names before.
		last := original[len(original)-1]
		if _, have := own[last.Key]; have || !slices.Contains(letterHeaders, last.Key) {
			break
		}
		own[last.Key] = string(last.Value)
	}
	return own, original
}

var letterHeaders = []string{HeaderReason, HeaderDetail, HeaderKey, HeaderTopic, HeaderPartition, HeaderOffset, HeaderTime, HeaderCut}

// Place is TOPIC/PARTITION/OFFSET of the letter.
func (l Letter) Place() string { return placeOf(l.Topic, l.Partition, l.Offset) }

func placeOf(topic string, partition int, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}

var userField = regexp.MustCompile(`"user_id"\s*:\s*("(?:[^"\\]|\\.)*")`)

// Users returns whom the original is about, as far as its key and its value tell, also
// one that is no JSON.
func (l Letter) Users() []string {
	var users []string
	if len(l.Original.Key) > 0 {
		users = append(users, string(l.Original.Key))
	}
	for _, field := range userField.FindAllSubmatch(l.Original.Value, -1) {
		var user string
		if json.Unmarshal(field[1], &user) == nil {
			users = append(users, user)
		}
	}
	return users
}

// IsReplay says whether the original was written again from an earlier letter.
func (l Letter) IsReplay() bool {
	return slices.ContainsFunc(l.Original.Headers, func(h kafka.Header) bool { return h.Key == HeaderReplayed })
}

// Replay returns the message to write to the topic that the original was in: the
// original, and the mark that says so. Its time is a new one: Kafka would soon delete
// what is as old as the original may be.
func (l Letter) Replay() kafka.Message {
	headers := slices.DeleteFunc(slices.Clone(l.Original.Headers), func(h kafka.Header) bool { return h.Key == HeaderReplayed })
	mark := kafka.Header{Key: HeaderReplayed, Value: []byte(l.Place())}
	return kafka.Message{Topic: l.Original.Topic, Key: l.Original.Key, Value: l.Original.Value, Headers: append(headers, mark)}
}

func size(m kafka.Message) int {
	const perHeader = 10 // two lengths, each at most 5 bytes
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + perHeader
	}
	return n
}
