package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model/dist"
	"genrec/pkg/registry"
	"genrec/pkg/schedule"
	"genrec/retrain"
	"genrec/retrain/gate"
)

// never is the schedule of those who do not want to train.
const never = "never"

func scheduleFlag(without, usage string) cli.Flag {
	return &cli.StringFlag{Name: "schedule", DefaultText: without, Usage: usage, Validator: parsable(parseSchedule)}
}

// readSchedule is nil where there is none.
func readSchedule(cmd *cli.Command, without string) (*schedule.Schedule, error) {
	s, err := parseSchedule(cmp.Or(cmd.String("schedule"), without))
	return s, settings.Wrong(cmd, err, "schedule")
}

func parseSchedule(text string) (*schedule.Schedule, error) {
	if text == "" || text == never {
		return nil, nil
	}
	s, err := schedule.Parse(text)
	return &s, err
}

// retrainNightly trains on what is in Redis until the context ends.
func retrainNightly(ctx context.Context, cmd *cli.Command, nightly schedule.Schedule) (err error) {
	var data, ranks error
	if cmd.String("data") != "" {
		data = errors.New("--schedule is for what is in Redis: there is nothing new to learn from --data each night")
	}
	if _, isRank, err := dist.FromEnv(); err != nil || isRank {
		ranks = errors.Join(err, errors.New("--schedule is for one process, which starts others by --nproc, and RANK is set: let what has set it begin each training, without --schedule"))
	}
	config, m, training := openTraining(ctx, cmd)
	past, err := openHistory(cmd)
	if err := settings.Join(data, ranks, needed(cmd, "redis", "where are the sequences to train on?"), training, err); err != nil {
		return err
	}
	o, err := observe(ctx, cmd)
	if err != nil {
		return err
	}
	var s servers
	defer func() { err = errors.Join(err, o.close(ctx), s.close()) }()
	if err := s.openStore(ctx, cmd); err != nil {
		return err
	}
	watch := retrain.NewWatch(config.Progress)
	config.Progress = watch
	o.metrics.MustRegister(watch.Metrics()...)
	o.readyWhen(s.answer)
	config.Erasures = s.store
	train := func(ctx context.Context) (retrain.Report, error) { return retrainOnce(ctx, config, s, past, m) }
	if n := cmd.Int("nproc"); n > 1 {
		train = func(ctx context.Context) (retrain.Report, error) { return retrainInRanks(ctx, n, m) }
	}
	retrainOnSchedule(ctx, nightly, config, train, watch.Ended, m, atOnce)
	return nil
}

// retrainInRanks lets n processes train once. The report is that of the version which they have
// made, so that none goes from process to process.
func retrainInRanks(ctx context.Context, n int, m models) (report retrain.Report, err error) {
	err = launchRanks(ctx, n, append(os.Args[1:], "--schedule", never)...)
	if err != nil && !errors.Is(err, errRefused) && !errors.Is(err, errWaits) {
		return report, err
	}
	versions, listed := m.registry.Versions(ctx) // the newest is theirs: they held the lock
	if listed != nil || len(versions) == 0 {
		return report, fmt.Errorf("look for what was trained: %w", cmp.Or(listed, registry.ErrNoVersion))
	}
	newest := versions[len(versions)-1]
	report, read := retrain.ReadReport(ctx, m.registry, newest)
	report.Version = newest
	if read == nil && errors.Is(err, errWaits) {
		report.Split, read = m.registry.Serving(ctx)
	}
	return report, read
}

// firstTraining is how long a system without a model gathers events before it
// looks whether there is something to train on.
const firstTraining = time.Minute

// turns lets one training run at a time, and is told what came of it.
type turns func(ctx context.Context, train func(context.Context) (outcome string, err error)) error

// atOnce is for those who train alone.
func atOnce(ctx context.Context, train func(context.Context) (string, error)) error {
	_, err := train(ctx)
	return err
}

// retrainOnSchedule outlives a training that fails: the current model goes on. It tells ended
// of each, which takes its turn.
func retrainOnSchedule(ctx context.Context, nightly schedule.Schedule, training retrain.Config, train func(context.Context) (retrain.Report, error), ended func(retrain.Report, error), m models, turn turns) {
	nightly.Run(ctx, slog.Default(), "training", firstWait(ctx, training, m), func(ctx context.Context) (again time.Duration) {
		var report retrain.Report
		err := turn(ctx, func(ctx context.Context) (_ string, err error) {
			report, err = train(ctx)
			return report.Outcome(), err
		})
		if ctx.Err() != nil {
			return 0
		}
		ended(report, err)
		switch {
		case errors.Is(err, retrain.ErrNoData):
			slog.Info("no version was trained", "because", err)
			if _, err := m.registry.Current(ctx); errors.Is(err, registry.ErrNoVersion) {
				return firstTraining
			}
		case err != nil:
			slog.Error("retraining failed, the current model goes on", "err", err)
		default:
			slog.Info("trained a model version", "version", report.Version, "serves", report.Serves(), "hr@10", report.LeaveOneOut.HR10)
			if !report.Gate.Promoted && report.Gate.Rival == gate.Popularity {
				return firstTraining // nothing is served yet
			}
		}
		return 0
	})
}

// firstWait is short where nothing is served yet, and shorter where a training was
// interrupted: it goes on now, and not in the next night, when it is too old. 0 leaves the
// first training to the schedule.
func firstWait(ctx context.Context, training retrain.Config, m models) time.Duration {
	interrupted, _, err := retrain.Interrupted(ctx, training, m.registry)
	switch {
	case err != nil: // the training will say so again
		slog.Warn("it is not known whether a training was interrupted", "err", err)
	case interrupted != nil:
		return time.Nanosecond
	}
	if _, err := m.registry.Current(ctx); errors.Is(err, registry.ErrNoVersion) {
		return firstTraining
	}
	return 0
}
