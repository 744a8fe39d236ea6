package backoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("server is down")

func TestRetryUntilSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := Retry(t.Context(), slog.New(slog.DiscardHandler), "ping", func() error {
			calls++
			if calls < 4 {
				return errAway
			}
			return nil
		})
		if err != nil || calls != 4 {
			t.Fatalf("got error %v after %d calls, want success after 4", err, calls)
		}
	})
}

func TestRetryPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay, last, calls := MinDelay, time.Now(), 0
		err := Retry(t.Context(), slog.New(slog.DiscardHandler), "ping", func() error {
			calls++
			if calls > 1 {
				if pause := time.Since(last); pause < delay/2 || pause > delay {
					t.Errorf("pause %d took %v, want it in [%v, %v]", calls-1, pause, delay/2, delay)
				}
				delay = min(2*delay, MaxDelay)
			}
			last = time.Now()
			if calls == 12 {
				return nil
			}
			return errAway
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetryStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := Retry(ctx, slog.New(slog.DiscardHandler), "ping", func() error { return errAway })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
			t.Errorf("got %v, want an error that wraps both the context's and the last attempt's", err)
		}
	})
}

func TestRetryWithEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Retry(ctx, slog.New(slog.DiscardHandler), "ping", func() error {
		t.Error("fn was called although the context had ended")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRetryStopsAtPermanentError(t *testing.T) {
	attempts := 0
	err := Retry(t.Context(), slog.New(slog.DiscardHandler), "ping", func() error {
		attempts++
		return fmt.Errorf("refused: %w", Permanent(errAway))
	})
	if !errors.Is(err, errAway) || attempts != 1 {
		t.Errorf("got %v after %d attempts, want the error after the first", err, attempts)
	}
}

func TestIsPermanent(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{failed, false},
		{Permanent(nil), false},
		{Permanent(failed), true},
		{fmt.Errorf("wrapped: %w", Permanent(failed)), true},
	} {
		if got := IsPermanent(c.err); got != c.want {
			t.Errorf("IsPermanent(%v) = %v, want %v", c.err, got, c.want)
		}
	}
	if err := Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v, want nil", err)
	}
}
