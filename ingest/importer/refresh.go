package importer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// Refresher asks for recommendations for users without keeping those waiting who have
// just done something: it adds some when few wait.
type Refresher struct {
	Lag     func(context.Context) (int64, error) // refreshes that wait
	Publish func(context.Context, ...kafka.Message) error
	Logger  *slog.Logger

	patience time.Duration // zero: defaultPatience
}

const (
	refreshBatch = 500
	// defaultPatience is for who answers refreshes: if none is answered for that long,
	// nobody is there who could be kept waiting.
	defaultPatience = 30 * time.Second
	lookEvery       = 50 * time.Millisecond
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
		if err := r.await(ctx); err != nil {
			return err
		}
		if err := r.Publish(ctx, messages...); err != nil {
			return err
		}
	}
	return nil
}

// await returns when few refreshes wait, or nobody answers them.
func (r *Refresher) await(ctx context.Context) error {
	if r.patience == 0 {
		r.patience = defaultPatience
	}
	var least int64 = -1
	deadline := time.Now().Add(r.patience)
	for {
		lag, err := r.waiting(ctx)
		if err != nil || lag < refreshBatch {
			return err
		}
		if least < 0 || lag < least {
			least, deadline = lag, time.Now().Add(r.patience)
		}
		if time.Now().After(deadline) {
			r.Logger.WarnContext(ctx, "nobody answers refreshes: those of the import wait in Kafka", "waiting", lag)
			r.Lag = func(context.Context) (int64, error) { return 0, nil }
			return nil
		}
		if err := backoff.Sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// waiting is how many refreshes wait. A Kafka that has just started, or is away, is asked again:
// the events of the import are in place, and whoever has no list waits for its refresh.
func (r *Refresher) waiting(ctx context.Context) (lag int64, err error) {
	err = backoff.Retry(ctx, r.Logger, "ask how many refreshes wait", func() (err error) {
		lag, err = r.Lag(ctx)
		var refused kafka.Error
		if errors.As(err, &refused) && !refused.Temporary() {
			return backoff.Permanent(err)
		}
		return err
	})
	return lag, err
}
