package retrain

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"genrec/pkg/registry"
	"genrec/pkg/schedule"
	"genrec/retrain/gate"
)

// TestScheduledTimes checks that without a version, a training is tried every minute; with one, at the
// scheduled times, also after a failure; and that each training is serialized and reported.
func TestScheduledTimes(t *testing.T) {
	models, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	promote := func() {
		t.Helper()
		d, err := models.Draft()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Discard()
		version, err := d.Publish(t.Context())
		if err == nil {
			err = models.Promote(t.Context(), version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		times, err := schedule.Parse("CRON_TZ=UTC 0 3 * * *")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		config := DefaultConfig()
		config.Logger = slog.New(slog.DiscardHandler)
		midnight := time.Now()
		var starts []time.Duration
		turns, ended := 0, 0
		Scheduler{
			Config: config, Models: models,
			Serialize: func(ctx context.Context, train func(context.Context) (string, error)) error {
				turns++
				_, err := train(ctx)
				return err
			},
			OnEnd: func(Report, error) { ended++ },
			Train: func(context.Context) (r Report, err error) {
				starts = append(starts, time.Since(midnight))
				switch len(starts) {
				case 1:
					return r, ErrNoData
				case 2:
					r.Gate.Baseline = gate.Popularity // refused, and nothing serves
					return r, nil
				case 3:
					promote()
					r.Gate.Promoted = true
					return r, nil
				case 4:
					return r, errors.New("out of memory")
				case 5:
					return r, ErrNoData
				}
				stop()
				return r, ctx.Err()
			},
		}.Run(ctx, times)
		want := []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute, 3 * time.Hour, 27 * time.Hour, 51 * time.Hour}
		if !slices.Equal(starts, want) {
			t.Errorf("trainings start after %v, want %v", starts, want)
		}
		if turns != len(want) || ended != len(want)-1 {
			t.Errorf("%d turns and %d results, want %d and, without the one that was stopped, %d", turns, ended, len(want), len(want)-1)
		}
	})
}
