package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// many returns n users and then io.EOF.
func many(n int) func() (string, error) {
	at := 0
	return func() (string, error) {
		if at == n {
			return "", io.EOF
		}
		at++
		return fmt.Sprint("u", at), nil
	}
}

func TestRefreshesAreThrottled(t *testing.T) {
	var waiting, published, most int64
	r := &Refresher{
		Lag: func(context.Context) (int64, error) {
			waiting = max(0, waiting-300) // the inference service processes some
			return waiting, nil
		},
		Publish: func(_ context.Context, messages ...kafka.Message) error {
			waiting += int64(len(messages))
			published += int64(len(messages))
			most = max(most, waiting)
			return nil
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	const users = 5*refreshBatch + 1
	if err := r.Refresh(t.Context(), many(users)); err != nil {
		t.Fatal(err)
	}
	if published != users || most >= 2*refreshBatch {
		t.Errorf("%d refreshes of %d users were published, %d waited at once", published, users, most)
	}
}

func TestRefreshesWithoutInference(t *testing.T) {
	var published int
	r := &Refresher{
		Lag: func(context.Context) (int64, error) { return 10_000, nil },
		Publish: func(_ context.Context, messages ...kafka.Message) error {
			published += len(messages)
			return nil
		},
		Logger: slog.New(slog.DiscardHandler), patience: time.Millisecond,
	}
	const users = 3 * refreshBatch
	if err := r.Refresh(t.Context(), many(users)); err != nil || published != users {
		t.Errorf("%d of %d refreshes were published, error %v", published, users, err)
	}
}

func TestRefreshesRetryKafka(t *testing.T) {
	for _, c := range []struct {
		broken   error
		recovers bool // after a while
		want     int  // refreshes
	}{
		{fmt.Errorf("look up the lag: %w", kafka.NotCoordinatorForGroup), true, 3}, // Kafka has just started
		{io.ErrUnexpectedEOF, true, 3},
		{fmt.Errorf("look up the lag: %w", kafka.GroupAuthorizationFailed), false, 0},
	} {
		lookups, published := 0, 0
		r := &Refresher{
			Lag: func(context.Context) (int64, error) {
				if lookups++; c.recovers && lookups > 2 {
					return 0, nil
				}
				return 0, c.broken
			},
			Publish: func(_ context.Context, messages ...kafka.Message) error {
				published += len(messages)
				return nil
			},
			Logger: slog.New(slog.DiscardHandler),
		}
		if err := r.Refresh(t.Context(), many(3)); published != c.want || c.recovers != (err == nil) || !c.recovers && !errors.Is(err, c.broken) {
			t.Errorf("%v: %d of %d refreshes were published, error %v", c.broken, published, c.want, err)
		}
	}
}
