// Package schedule runs a job at the times of a cron expression, one run at a time: times that pass
// during a run are skipped. A run may request an earlier next one, such as a retry.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"genrec/pkg/backoff"
)

// Schedule is a cron expression.
type Schedule struct {
	text  string
	times cron.Schedule
}

// Parse parses five fields, such as `0 3 * * *`, or a descriptor such as `@daily` or `@every 6h`. Times
// are in the local time zone unless `CRON_TZ=Europe/Paris` precedes.
func Parse(text string) (Schedule, error) {
	times, err := parse(strings.TrimSpace(text))
	if err == nil && times.Next(time.Now()).IsZero() {
		err = errors.New("it has no time in the next five years")
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w; examples: \"0 3 * * *\" for 03:00 every night, \"@every 6h\" for every six hours", text, err)
	}
	return Schedule{text, times}, nil
}

func parse(text string) (cron.Schedule, error) {
	if strings.Contains(text, "TZ=") && !strings.Contains(text, " ") {
		return nil, errors.New("no fields after the time zone") // would make the library panic
	}
	return cron.ParseStandard(text)
}

// Job is a scheduled function. It returns the maximum delay until its next call, or 0 to follow the
// schedule.
type Job func(ctx context.Context) (delay time.Duration)

// Run calls the job, named for the log, until ctx ends. Times that pass while it runs are skipped.
// The first call comes after the delay first, if that is not 0 and earlier than the schedule's.
func (s Schedule) Run(ctx context.Context, logger *slog.Logger, name string, first time.Duration, job Job) {
	for delay := first; ; {
		at := s.next(time.Now(), delay)
		logger.InfoContext(ctx, "waiting for the next "+name, "at", at.Format(time.RFC3339), "zone", at.Location(), "schedule", s.text)
		if !sleepUntil(ctx, at) {
			return
		}
		if delay = job(ctx); ctx.Err() != nil {
			return
		}
	}
}

func (s Schedule) next(now time.Time, delay time.Duration) time.Time {
	at := s.times.Next(now)
	if earlier := now.Add(delay); delay > 0 && earlier.Before(at) {
		return earlier
	}
	return at
}

// maxSleep limits a single sleep, because the clock may be changed and machines are suspended.
const maxSleep = time.Minute

func sleepUntil(ctx context.Context, at time.Time) bool {
	at = at.Round(0) // without the monotonic clock
	for {
		left := time.Until(at)
		if left <= 0 {
			return ctx.Err() == nil
		}
		if backoff.Sleep(ctx, min(left, maxSleep)) != nil {
			return false
		}
	}
}
