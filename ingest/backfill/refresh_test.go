package backfill

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// many returns users until there were n.
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

func TestRefreshesWaitForThoseBefore(t *testing.T) {
	var waiting, published, most int64
	r := &Refresher{
		Lag: func(context.Context) (int64, error) {
			waiting = max(0, waiting-300) // who answers them goes on
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

func TestRefreshesDoNotWaitForNobody(t *testing.T) {
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
