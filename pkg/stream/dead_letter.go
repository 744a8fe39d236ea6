package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Headers that a dead-letter record has in addition to those of the original message.
const (
	HeaderReason    = "genrec-reason"    // short, stable code
	HeaderDetail    = "genrec-detail"    // for people
	HeaderKey       = "genrec-key"       // key of the original message, if it had one
	HeaderTopic     = "genrec-topic"     // topic of the original message
	HeaderPartition = "genrec-partition" // its partition, decimal
	HeaderOffset    = "genrec-offset"    // its offset, decimal
	HeaderTime      = "genrec-time"      // when the original message was produced, Unix ms, decimal
	HeaderCut       = "genrec-cut"       // only if the value was truncated: its original length in bytes, decimal
)

// HeaderReplayed marks a replayed message: the topic, partition and offset of its dead letter,
// as Position returns them.
const HeaderReplayed = "genrec-replayed"

var deadLetterHeaders = []string{HeaderReason, HeaderDetail, HeaderKey, HeaderTopic, HeaderPartition, HeaderOffset, HeaderTime, HeaderCut}

const (
	// maxOriginal bounds the bytes of the original in a dead letter, and leaves room for the
	// headers above.
	maxOriginal = MaxDeadLetterBytes - 16<<10
	// maxDetail bounds HeaderDetail; it can contain a stack trace.
	maxDetail = 4 << 10
	// maxKey bounds the key that the dead letter of an oversized message keeps; user ids are
	// shorter.
	maxKey = 1 << 10
)

// NewDeadLetter returns the record to write to the dead-letter topic for a message: its value and
// headers, and why it could not be processed. The record's key is the position of the original,
// so that it is unique and EraseDeadLetters can write a tombstone for it. An original that is
// larger than the dead-letter topic accepts, which compression makes possible, is truncated.
func NewDeadLetter(m kafka.Message, reason, detail string) kafka.Message {
	dead := kafka.Message{Value: m.Value, Headers: slices.Clone(m.Headers)}
	key := m.Key
	add := func(key, value string) {
		dead.Headers = append(dead.Headers, kafka.Header{Key: key, Value: []byte(value)})
	}
	if size(m) > maxOriginal {
		dead = kafka.Message{Value: m.Value[:min(len(m.Value), maxOriginal)]}
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
	dead.Key = []byte(position(m.Topic, m.Partition, m.Offset))
	return dead
}

// truncateDeadLetter returns a dead-letter record without the headers of the original and with
// half of its value. ok is false for any other message, and if nothing is left to remove.
func truncateDeadLetter(m kafka.Message) (truncated kafka.Message, ok bool) {
	const least = 1 << 10 // bytes that are worth another attempt
	own, others := splitHeaders(m.Headers)
	if own[HeaderReason] == "" || own[HeaderTopic] == "" || len(m.Value) == 0 && len(others) == 0 {
		return kafka.Message{}, false
	}
	kept := len(m.Value) / 2
	if kept < least {
		kept = 0
	}
	truncated = m
	truncated.Value, truncated.Headers = m.Value[:kept], slices.Clone(m.Headers[len(others):])
	if own[HeaderCut] == "" {
		truncated.Headers = append(truncated.Headers, kafka.Header{Key: HeaderCut, Value: []byte(strconv.Itoa(len(m.Value)))})
	}
	return truncated, true
}

// DeadLetterReason returns the reason code of a record from NewDeadLetter.
func DeadLetterReason(record kafka.Message) string { return headers{&record}.Get(HeaderReason) }

// DeadLetter is a decoded record of the dead-letter topic.
type DeadLetter struct {
	Reason, Detail string        // code, and text for people
	Original       kafka.Message // with its topic, partition, offset, key and time
	TruncatedFrom  int           // length of the original's value in bytes; 0: the value is complete
	Time           time.Time     // when the dead letter was written
	Topic          string        // of the dead letter
	Partition      int           // of the dead letter
	Offset         int64         // of the dead letter
}

// DecodeDeadLetter decodes a record of the dead-letter topic.
func DecodeDeadLetter(m kafka.Message) (DeadLetter, error) {
	d := DeadLetter{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Time: m.Time}
	own, headers := splitHeaders(m.Headers)
	d.Reason, d.Detail = own[HeaderReason], own[HeaderDetail]
	d.Original = kafka.Message{Topic: own[HeaderTopic], Value: m.Value, Headers: slices.Clone(headers)}
	if d.Reason == "" || d.Original.Topic == "" {
		return DeadLetter{}, fmt.Errorf("message %s is not a dead letter: it has no %s or no %s", d.Position(), HeaderReason, HeaderTopic)
	}
	for name, set := range map[string]func(int64){
		HeaderPartition: func(n int64) { d.Original.Partition = int(n) },
		HeaderOffset:    func(n int64) { d.Original.Offset = n },
		HeaderTime:      func(n int64) { d.Original.Time = time.UnixMilli(n) },
		HeaderCut:       func(n int64) { d.TruncatedFrom = int(n) },
	} {
		text, have := own[name]
		if !have && (name == HeaderCut || name == HeaderTime) { // old dead letters have no time
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return DeadLetter{}, fmt.Errorf("dead letter %s: header %s: %w", d.Position(), name, err)
		}
		set(n)
	}
	key, have := own[HeaderKey]
	switch {
	case have:
		d.Original.Key = []byte(key)
	case string(m.Key) != position(d.Original.Topic, d.Original.Partition, d.Original.Offset):
		d.Original.Key = m.Key // old dead letters had the key of the original
	}
	return d, nil
}

// splitHeaders returns the headers that NewDeadLetter added, which come last, and those of the
// original.
func splitHeaders(all []kafka.Header) (own map[string]string, original []kafka.Header) {
	own = make(map[string]string)
	for original = all; len(original) > 0; original = original[:len(original)-1] {
		// The original can have headers with the same names.
		last := original[len(original)-1]
		if _, have := own[last.Key]; have || !slices.Contains(deadLetterHeaders, last.Key) {
			break
		}
		own[last.Key] = string(last.Value)
	}
	return own, original
}

// Position returns TOPIC/PARTITION/OFFSET of the dead letter.
func (d DeadLetter) Position() string { return position(d.Topic, d.Partition, d.Offset) }

func position(topic string, partition int, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}

var userField = regexp.MustCompile(`"user_id"\s*:\s*("(?:[^"\\]|\\.)*")`)

// Users returns the ids of users in the key and the value of the original. It also finds them in
// invalid JSON.
func (d DeadLetter) Users() []string {
	var users []string
	if len(d.Original.Key) > 0 {
		users = append(users, string(d.Original.Key))
	}
	for _, field := range userField.FindAllSubmatch(d.Original.Value, -1) {
		var user string
		if json.Unmarshal(field[1], &user) == nil {
			users = append(users, user)
		}
	}
	return users
}

// IsReplay reports whether the original was itself replayed from a dead letter.
func (d DeadLetter) IsReplay() bool {
	return slices.ContainsFunc(d.Original.Headers, func(h kafka.Header) bool { return h.Key == HeaderReplayed })
}

// ReplayMessage returns the message to write to the topic of the original: the original with
// HeaderReplayed. It gets a new time, because retention would soon delete a message with the
// original one.
func (d DeadLetter) ReplayMessage() kafka.Message {
	headers := slices.DeleteFunc(slices.Clone(d.Original.Headers), func(h kafka.Header) bool { return h.Key == HeaderReplayed })
	replayed := kafka.Header{Key: HeaderReplayed, Value: []byte(d.Position())}
	return kafka.Message{Topic: d.Original.Topic, Key: d.Original.Key, Value: d.Original.Value, Headers: append(headers, replayed)}
}

// ScanDeadLetters calls fn with each dead letter that the topic contains now and that was not
// erased, and returns the first error of fn. foreign is the number of messages that are not dead
// letters.
func ScanDeadLetters(ctx context.Context, c Cluster, topic string, from StartOffset, fn func(DeadLetter) error) (foreign int, err error) {
	return scanDeadLetters(ctx, c, topic, from, func(_ kafka.Message, d DeadLetter) error { return fn(d) })
}

// scanDeadLetters reads the topic twice, because tombstones come after the records that they
// erase. It holds the keys of tombstones in memory.
func scanDeadLetters(ctx context.Context, c Cluster, topic string, from StartOffset, fn func(kafka.Message, DeadLetter) error) (foreign int, err error) {
	tombstones := make(map[string]int64) // key to newest offset
	err = Scan(ctx, c, topic, from, func(m kafka.Message) error {
		if isTombstone(m) {
			tombstones[string(m.Key)] = m.Offset
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = Scan(ctx, c, topic, from, func(m kafka.Message) error {
		if erasedAt, erased := tombstones[string(m.Key)]; isTombstone(m) || erased && m.Offset < erasedAt {
			return nil
		}
		if d, err := DecodeDeadLetter(m); err == nil {
			return fn(m, d)
		}
		foreign++
		return nil
	})
	return foreign, err
}

// isTombstone reports whether Kafka's compaction takes a message for the deletion of its key. The
// dead letter of an empty message has headers.
func isTombstone(m kafka.Message) bool {
	return len(m.Key) > 0 && len(m.Value) == 0 && len(m.Headers) == 0
}

const eraseBatch = 500

// EraseDeadLetters writes tombstones for the dead letters of the users, and returns their number.
// ScanDeadLetters and ReplayDeadLetters skip erased dead letters at once; compaction removes them
// from the disk. onRead is called for each dead letter that is read.
func EraseDeadLetters(ctx context.Context, logger *slog.Logger, c Cluster, topic string, users []string, onRead func()) (erased int, err error) {
	wanted := make(map[string]bool, len(users))
	for _, user := range users {
		wanted[user] = true
	}
	w := NewDeadLetterWriter(c, topic)
	defer w.Close()
	var tombstones []kafka.Message
	flush := func() error {
		if len(tombstones) == 0 {
			return nil
		}
		if err := Publish(ctx, logger, w, tombstones...); err != nil {
			return err
		}
		erased += len(tombstones)
		tombstones = tombstones[:0]
		return nil
	}
	_, err = scanDeadLetters(ctx, c, topic, Earliest, func(m kafka.Message, d DeadLetter) error {
		onRead()
		if len(m.Key) == 0 || !slices.ContainsFunc(d.Users(), func(user string) bool { return wanted[user] }) {
			return nil
		}
		if tombstones = append(tombstones, kafka.Message{Key: m.Key}); len(tombstones) < eraseBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return erased, fmt.Errorf("erase dead letters of %d users: %w", len(users), err)
	}
	return erased, nil
}

// size returns about how many bytes a message takes in a record batch.
func size(m kafka.Message) int {
	const perHeader = 10 // two lengths, each at most 5 bytes
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + perHeader
	}
	return n
}
