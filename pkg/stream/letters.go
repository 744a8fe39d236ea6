package stream

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Letters calls fn with each letter that the dead-letter topic holds now and that was
// not erased, and returns its first error. It says how many messages are no letters.
func Letters(ctx context.Context, c Cluster, topic string, from Start, fn func(Letter) error) (foreign int, err error) {
	return scanLetters(ctx, c, topic, from, func(_ kafka.Message, l Letter) error { return fn(l) })
}

// scanLetters reads the topic twice: what erases a letter comes after it. It holds the
// keys of erased letters in memory.
func scanLetters(ctx context.Context, c Cluster, topic string, from Start, fn func(kafka.Message, Letter) error) (foreign int, err error) {
	erased := make(map[string]int64) // offsets of the newest erasures by key
	err = Scan(ctx, c, topic, from, func(m kafka.Message) error {
		if isErasure(m) {
			erased[string(m.Key)] = m.Offset
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = Scan(ctx, c, topic, from, func(m kafka.Message) error {
		if at, has := erased[string(m.Key)]; isErasure(m) || has && m.Offset < at {
			return nil
		}
		if l, err := OpenLetter(m); err == nil {
			return fn(m, l)
		}
		foreign++
		return nil
	})
	return foreign, err
}

// isErasure recognizes what Kafka's compaction takes for the end of a key. A letter of
// an empty message has headers.
func isErasure(m kafka.Message) bool {
	return len(m.Key) > 0 && len(m.Value) == 0 && len(m.Headers) == 0
}

const erasureBatch = 500

// EraseLetters erases the letters that are about any of the users, and says how many
// there were. They vanish from Letters and Replay at once, and from the disk when
// Kafka compacts the topic. It calls read with each letter that it reads.
func EraseLetters(ctx context.Context, logger *slog.Logger, c Cluster, topic string, users []string, read func()) (erased int, err error) {
	theirs := make(map[string]bool, len(users))
	for _, user := range users {
		theirs[user] = true
	}
	w := NewDeadLetterWriter(c, topic)
	defer w.Close()
	var batch []kafka.Message
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := Publish(ctx, logger, w, batch...); err != nil {
			return err
		}
		erased += len(batch)
		batch = batch[:0]
		return nil
	}
	_, err = scanLetters(ctx, c, topic, Earliest, func(m kafka.Message, l Letter) error {
		read()
		if len(m.Key) == 0 || !slices.ContainsFunc(l.Users(), func(user string) bool { return theirs[user] }) {
			return nil
		}
		if batch = append(batch, kafka.Message{Key: m.Key}); len(batch) < erasureBatch {
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

const (
	cleanupPolicy = "cleanup.policy"
	cleanupDelete = "delete"
)

// Compacts says whether Kafka removes from the disk what EraseLetters erases, before the
// topic's retention ends.
func Compacts(ctx context.Context, c Cluster, topic string) (bool, error) {
	client, done := c.freshClient()
	defer done()
	set, err := topicSettings(ctx, client, topic, cleanupPolicy)
	return compacts(set), err
}

func compacts(settings map[string]string) bool {
	return strings.Contains(settings[cleanupPolicy], "compact")
}
