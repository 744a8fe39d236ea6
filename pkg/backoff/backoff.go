// Package backoff retries work whose failure is expected to pass, such as
// calls to a server that is away for a while.
package backoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The pause before a retry is drawn between half of the current delay and all
// of it; the delay starts at MinDelay and doubles up to MaxDelay.
const (
	MinDelay = 50 * time.Millisecond
	MaxDelay = 5 * time.Second
)

// permanent marks an error that another attempt would meet again.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error of fn that waiting does not heal: Retry returns it at once.
func Permanent(err error) error { return permanent{err} }

// Retry calls fn until it succeeds or ctx ends. Each failure is logged as a
// failure to do what, for instance "commit offsets of topic orders". The error
// wraps ctx's and the last one of fn, or a Permanent one; it is nil if and only if fn
// succeeded.
func Retry(ctx context.Context, logger *slog.Logger, what string, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	delay := MinDelay
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil {
			if attempt > 1 {
				logger.InfoContext(ctx, "recovered", "what", what, "attempts", attempt)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, what, err)
		}
		if p := (permanent{}); errors.As(err, &p) {
			return fmt.Errorf("%s: %w", what, err)
		}

		pause := jitter(delay)
		logger.WarnContext(ctx, "will retry", "what", what, "attempt", attempt, "in", pause, "err", err)
		if Sleep(ctx, pause) != nil {
			return ended(ctx, what, err)
		}
		delay = min(2*delay, MaxDelay)
	}
}

// Sleep waits, and returns ctx's error if that ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func ended(ctx context.Context, what string, last error) error {
	if errors.Is(last, ctx.Err()) {
		return fmt.Errorf("%s: %w", what, last)
	}
	return fmt.Errorf("%s: %w; last attempt: %w", what, ctx.Err(), last)
}

// jitter keeps clients that failed together from coming back together.
func jitter(delay time.Duration) time.Duration {
	return delay/2 + rand.N(delay/2)
}
