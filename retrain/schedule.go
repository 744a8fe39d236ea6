package retrain

import (
	"context"
	"errors"
	"time"

	"genrec/pkg/registry"
	"genrec/pkg/schedule"
	"genrec/retrain/gate"
)

// firstTraining is how long a system that serves no model collects events before it tries to
// train.
const firstTraining = time.Minute

// Scheduled trains at the times of a schedule, one training at a time. The times that pass
// during a training are skipped, and a training that fails is logged: the current model keeps
// serving. While nothing serves, it tries every minute; an interrupted training is resumed at
// once.
type Scheduled struct {
	// Config recognizes an interrupted training; its Logger is used.
	Config Config
	// Models has the current version.
	Models *registry.Registry
	// Train trains once.
	Train func(context.Context) (Report, error)
	// Serialize runs a training when no other one runs, and passes on its error; the outcome
	// is for people. Nil: nothing else trains.
	Serialize func(ctx context.Context, train func(context.Context) (outcome string, err error)) error
	// Ended receives the result of each training; nil: nothing does.
	Ended func(Report, error)
}

// Run trains until ctx ends.
func (s Scheduled) Run(ctx context.Context, times schedule.Schedule) {
	times.Run(ctx, s.Config.Logger, "training", s.firstWait(ctx), s.once)
}

// once trains, and returns after what time to train again, at the latest; 0 leaves that to the
// schedule.
func (s Scheduled) once(ctx context.Context) (again time.Duration) {
	var report Report
	train := func(ctx context.Context) (outcome string, err error) {
		report, err = s.Train(ctx)
		return report.Outcome(), err
	}
	var err error
	if s.Serialize != nil {
		err = s.Serialize(ctx, train)
	} else {
		_, err = train(ctx)
	}
	if ctx.Err() != nil {
		return 0
	}
	if s.Ended != nil {
		s.Ended(report, err)
	}
	logger := s.Config.Logger
	switch {
	case errors.Is(err, ErrNoData):
		logger.InfoContext(ctx, "not enough data to train a version", "err", err)
		if !s.hasCurrent(ctx) {
			return firstTraining
		}
	case err != nil:
		logger.ErrorContext(ctx, "training failed, the current model keeps serving", "err", err)
	default:
		logger.InfoContext(ctx, "trained a model version", "version", report.Version, "serves", report.Serves(), "hr@10", report.LeaveOneOut.HR10)
		if !report.Gate.Promoted && report.Gate.Rival == gate.Popularity {
			return firstTraining // no version serves yet
		}
	}
	return 0
}

// firstWait is the time until the first training: none for an interrupted one, which would be
// too old at the next scheduled time. 0 leaves it to the schedule.
func (s Scheduled) firstWait(ctx context.Context) time.Duration {
	interrupted, _, err := Interrupted(ctx, s.Config, s.Models)
	switch {
	case err != nil: // the training will report it again
		s.Config.Logger.WarnContext(ctx, "cannot check for an interrupted training", "err", err)
	case interrupted != nil:
		return time.Nanosecond
	}
	if !s.hasCurrent(ctx) {
		return firstTraining
	}
	return 0
}

func (s Scheduled) hasCurrent(ctx context.Context) bool {
	_, err := s.Models.Current(ctx)
	return !errors.Is(err, registry.ErrNoVersion)
}
