package schedule

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{ // after 2026-03-01 12:00 UTC
		"0 3 * * *":                       "2026-03-02T03:00:00Z",
		"30 12 * * 1-5":                   "2026-03-02T12:30:00Z",
		"CRON_TZ=Europe/Paris 0 3 * * *":  "2026-03-02T02:00:00Z",
		"CRON_TZ=America/Lima 0 12 1 * *": "2026-03-01T17:00:00Z",
		"@every 6h":                       "2026-03-01T18:00:00Z",
		" @daily ":                        "2026-03-02T00:00:00Z",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Error(err)
			continue
		}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		if got := s.next(now, 0).UTC().Format(time.RFC3339); got != want {
			t.Errorf("the next time of %q is %s, want %s", text, got, want)
		}
		if got := s.next(now, time.Minute); got != now.Add(time.Minute) {
			t.Errorf("the next time of %q is %v, want the requested minute later", text, got)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "at three": "expected exactly 5 fields", "61 * * * *": "above maximum", "0 0 30 2 *": "no time in the next",
		"CRON_TZ=Europe/Paris": "no fields", "TZ=": "no fields", "CRON_TZ=Nowhere 0 3 * * *": "Nowhere", "@every": "@every",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 3 * * *", "CRON_TZ=UTC @every 1h", "TZ=", "*/5 1-3,7 * JAN ?", "@daily"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse(text); err == nil && !s.next(time.Now(), 0).After(time.Now().Add(-time.Second)) {
			t.Errorf("the next time of %q is in the past", text)
		}
	})
}

// The fake clock of synctest starts at midnight UTC.
func TestRunFollowsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Parse("CRON_TZ=UTC 0 3 * * *")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		midnight := time.Now()
		var starts []time.Duration
		s.Run(ctx, slog.New(slog.DiscardHandler), "training", time.Hour, func(context.Context) time.Duration {
			starts = append(starts, time.Since(midnight))
			switch len(starts) {
			case 1:
				return time.Minute // nothing to train on yet
			case 3:
				time.Sleep(26 * time.Hour) // misses a night
			case 5:
				stop()
			}
			return 0
		})
		want := []time.Duration{1 * time.Hour, time.Hour + time.Minute, 3 * time.Hour, 51 * time.Hour, 75 * time.Hour}
		for i, at := range want {
			if len(starts) != len(want) || starts[i] != at {
				t.Fatalf("the job started after %v, want %v", starts, want)
			}
		}
	})
}

func TestRunStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Parse("@daily")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		began := time.Now()
		s.Run(ctx, slog.New(slog.DiscardHandler), "training", 0, func(context.Context) time.Duration {
			t.Error("the job was called at once")
			return 0
		})
		if took := time.Since(began); took > time.Hour {
			t.Errorf("it ran for %v after the end of its context", took-time.Hour)
		}
	})
}
