package importer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// Refresher publishes refreshes at the pace at which they are processed, so that those of live
// events are not delayed: it publishes a batch when the lag is small.
type Refresher struct {
	Lag     func(context.Context) (int64, error)          // unprocessed refreshes
	Publish func(context.Context, ...kafka.Message) error // writes to the refresh topic
	Logger  *slog.Logger                                  // of retries and of a missing inference service

	patience time.Duration // zero: defaultPatience
}

const (
	refreshBatch = 500
	// defaultPatience is how long the lag may stay the same. Then no inference service is running,
	// and publishing delays nothing.
	defaultPatience = 30 * time.Second
	lagPollInterval = 50 * time.Millisecond
)

// Refresh publishes a refresh for each user until next returns io.EOF.
func (r *Refresher) Refresh(ctx context.Context, next func() (string, error)) error {
	for ended := false; !ended; {
		var messages []kafka.Message
		for len(messages) < refreshBatch {
			user, err := next()
			if errors.Is(err, io.EOF) {
				ended = true
				break
			}
			if err != nil {
				return err
			}
			m, err := stream.Refresh{User: user}.Message()
			if err != nil {
				return err
			}
			messages = append(messages, m)
		}
		if err := r.awaitSmallLag(ctx); err != nil {
			return err
		}
		if err := r.Publish(ctx, messages...); err != nil {
			return err
		}
	}
	return nil
}

// awaitSmallLag returns when the lag is small, or when no refreshes are being processed.
func (r *Refresher) awaitSmallLag(ctx context.Context) error {
	if r.patience == 0 {
		r.patience = defaultPatience
	}
	var least int64 = -1
	deadline := time.Now().Add(r.patience)
	for {
		lag, err := r.lag(ctx)
		if err != nil || lag < refreshBatch {
			return err
		}
		if least < 0 || lag < least {
			least, deadline = lag, time.Now().Add(r.patience)
		}
		if time.Now().After(deadline) {
			r.Logger.WarnContext(ctx, "no refreshes are being processed: those of the import wait in Kafka", "lag", lag)
			r.Lag = func(context.Context) (int64, error) { return 0, nil }
			return nil
		}
		if err := backoff.Sleep(ctx, lagPollInterval); err != nil {
			return err
		}
	}
}

// lag returns the number of unprocessed refreshes. It retries while Kafka is down or starting: the
// events are imported, and only the refreshes are missing.
func (r *Refresher) lag(ctx context.Context) (lag int64, err error) {
	err = backoff.Retry(ctx, r.Logger, "look up the lag of refreshes", func() (err error) {
		lag, err = r.Lag(ctx)
		var response kafka.Error
		if errors.As(err, &response) && !response.Temporary() {
			return backoff.Permanent(err)
		}
		return err
	})
	return lag, err
}

// userSet is a set of user ids that are added first and read afterwards. It holds a hash of each
// in memory, about 40 bytes, which is long enough to rule out collisions, and the ids in a
// temporary file.
type userSet struct {
	n    int64
	seen map[[16]byte]struct{}
	file *os.File
	out  *bufio.Writer
	in   *bufio.Scanner
}

func newUserSet() (*userSet, error) {
	file, err := os.CreateTemp("", "genrec-import-*")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file for the user ids: %w", err)
	}
	return &userSet{seen: make(map[[16]byte]struct{}), file: file, out: bufio.NewWriter(file)}, nil
}

func (u *userSet) add(user string) error {
	sum := sha256.Sum256([]byte(user))
	hash := [16]byte(sum[:16])
	if _, known := u.seen[hash]; known {
		return nil
	}
	u.seen[hash] = struct{}{}
	u.n++
	if _, err := u.out.WriteString(user + "\n"); err != nil { // ids have no control characters
		return fmt.Errorf("write a user id: %w", err)
	}
	return nil
}

// rewind switches from adding to reading.
func (u *userSet) rewind() error {
	err := u.out.Flush()
	if err == nil {
		_, err = u.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read the user ids: %w", err)
	}
	u.seen = nil
	u.in = bufio.NewScanner(u.file)
	return nil
}

// next returns the ids one by one, and then io.EOF.
func (u *userSet) next() (string, error) {
	if u.in.Scan() {
		return u.in.Text(), nil
	}
	if err := u.in.Err(); err != nil {
		return "", fmt.Errorf("read the user ids: %w", err)
	}
	return "", io.EOF
}

func (u *userSet) close() error { return errors.Join(u.file.Close(), os.Remove(u.file.Name())) }
