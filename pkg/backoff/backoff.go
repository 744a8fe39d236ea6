// Package backoff retries operations that fail temporarily, such as requests to a server that is
// down, with jittered exponential backoff and without a limit other than the context.
package backoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The delay doubles from MinDelay up to MaxDelay. The pause before a retry is random, between half
// of the delay and all of it.
const (
	MinDelay = 50 * time.Millisecond
	MaxDelay = 5 * time.Second
)

// permanent marks an error that a retry cannot resolve.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that a retry cannot resolve: Retry returns it at once. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether an error is or wraps one marked by Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanent)) }

// Retry calls fn until it succeeds, returns a Permanent error, or ctx ends. Failures are logged as
// failures of the action, such as "commit offsets of topic orders". The error is nil if and only if
// fn succeeded; otherwise it wraps fn's last error and, if ctx ended, ctx's.
func Retry(ctx context.Context, logger *slog.Logger, action string, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	delay := MinDelay
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil {
			if attempt > 1 {
				logger.InfoContext(ctx, "recovered", "action", action, "attempts", attempt)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, action, err)
		}
		if IsPermanent(err) {
			return fmt.Errorf("%s: %w", action, err)
		}

		pause := jitter(delay)
		logger.WarnContext(ctx, "will retry", "action", action, "attempt", attempt, "in", pause, "err", err)
		if Sleep(ctx, pause) != nil {
			return ended(ctx, action, err)
		}
		delay = min(2*delay, MaxDelay)
	}
}

// Sleep waits for d. It returns ctx's error if ctx ends earlier.
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

func ended(ctx context.Context, action string, last error) error {
	if errors.Is(last, ctx.Err()) {
		return fmt.Errorf("%s: %w", action, last)
	}
	return fmt.Errorf("%s: %w; last attempt: %w", action, ctx.Err(), last)
}

// jitter spreads the retries of clients that failed at the same time.
func jitter(delay time.Duration) time.Duration {
	return delay/2 + rand.N(delay/2)
}
