package retrain

import (
	"context"
	"errors"
	"time"

	"genrec/pkg/registry"
	"genrec/pkg/schedule"
	"genrec/retrain/gate"
)

// firstTraining is the interval of training attempts while no version serves.
const firstTraining = time.Minute

// Scheduler trains at the times of a schedule, one training at a time. It skips times that pass during a
// training, and logs failures: the current version keeps serving. While no version serves, it tries every
// minute. It resumes an interrupted training immediately.
type Scheduler struct {
	// Config recognizes an interrupted training; its Logger is used.
	Config Config
	// Models has the versions.
	Models *registry.Registry
	// Train trains once.
	Train func(context.Context) (Report, error)
	// Serialize runs a training while no other one runs and returns its error; the outcome is
	// for display. It is nil if nothing else trains.
	Serialize func(ctx context.Context, train func(context.Context) (outcome string, err error)) error
	// OnEnd is called with the result of each training, unless it is nil.
	OnEnd func(Report, error)
}

// Run trains until ctx ends.
func (s Scheduler) Run(ctx context.Context, times schedule.Schedule) {
	times.Run(ctx, s.Config.Logger, "training", s.firstWait(ctx), s.once)
}

// once trains, and returns the maximum time until the next training; 0 leaves it to the schedule.
func (s Scheduler) once(ctx context.Context) (again time.Duration) {
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
	if s.OnEnd != nil {
		s.OnEnd(report, err)
	}
	logger := s.Config.Logger
	switch {
	case errors.Is(err, ErrNoData):
		logger.InfoContext(ctx, "skipped a training", "err", err)
		if !s.hasCurrent(ctx) {
			return firstTraining
		}
	case err != nil:
		logger.ErrorContext(ctx, "training failed, the current version keeps serving", "err", err)
	default:
		logger.InfoContext(ctx, "trained a model version", "version", report.Version, "serves", report.Serves(), "hr@10", report.LeaveOneOut.HR10)
		if !report.Gate.Promoted && report.Gate.Baseline == gate.Popularity {
			return firstTraining // no version serves yet
		}
	}
	return 0
}

// firstWait returns the maximum time until the first training: an interrupted one is resumed immediately,
// because it may be too old at the next scheduled time. 0 leaves it to the schedule.
func (s Scheduler) firstWait(ctx context.Context) time.Duration {
	interrupted, _, err := Interrupted(ctx, s.Config, s.Models)
	switch {
	case err != nil: // the training reports it again
		s.Config.Logger.WarnContext(ctx, "cannot check for an interrupted training", "err", err)
	case interrupted != nil:
		return time.Nanosecond
	}
	if !s.hasCurrent(ctx) {
		return firstTraining
	}
	return 0
}

func (s Scheduler) hasCurrent(ctx context.Context) bool {
	_, err := s.Models.Current(ctx)
	return !errors.Is(err, registry.ErrNoVersion)
}
