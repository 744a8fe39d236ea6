// Package schedule runs a job at the times that a cron expression names, never twice at
// once.
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

// Parse reads five fields, `0 3 * * *`, or a word such as `@daily` or `@every 6h`, in the time
// zone of the machine or of a `CRON_TZ=Europe/Paris` in front.
func Parse(text string) (Schedule, error) {
	times, err := parse(strings.TrimSpace(text))
	if err == nil && times.Next(time.Now()).IsZero() {
		err = errors.New("there is no such time in the next five years")
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w; 0 3 * * * is every night at three, @every 6h every six hours", text, err)
	}
	return Schedule{text, times}, nil
}

func parse(text string) (cron.Schedule, error) {
	if strings.Contains(text, "TZ=") && !strings.Contains(text, " ") {
		return nil, errors.New("there are no fields behind the time zone") // on which the library panics
	}
	return cron.ParseStandard(text)
}

// Job does its work and says after what time it wants to be called again, at the latest; 0
// leaves that to the schedule.
type Job func(ctx context.Context) (again time.Duration)

// Run calls the job until the context ends. The times that pass while it works are left out.
// The first call comes after the time given, if that is not 0 and the schedule's is later.
func (s Schedule) Run(ctx context.Context, logger *slog.Logger, what string, first time.Duration, job Job) {
	for again := first; ; {
		at := s.next(time.Now(), again)
		logger.InfoContext(ctx, "waiting for the next "+what, "at", at.Format(time.RFC3339), "zone", at.Location(), "schedule", s.text)
		if !sleepUntil(ctx, at) {
			return
		}
		if again = job(ctx); ctx.Err() != nil {
			return
		}
	}
}

func (s Schedule) next(now time.Time, again time.Duration) time.Time {
	at := s.times.Next(now)
	if soon := now.Add(again); again > 0 && soon.Before(at) {
		return soon
	}
	return at
}

// nap bounds a sleep, because the clock can be set, and machines sleep.
const nap = time.Minute

func sleepUntil(ctx context.Context, at time.Time) bool {
	at = at.Round(0) // without the monotonic clock
	for {
		left := time.Until(at)
		if left <= 0 {
			return ctx.Err() == nil
		}
		if backoff.Sleep(ctx, min(left, nap)) != nil {
			return false
		}
	}
}
