package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model/dist"
	"genrec/pkg/registry"
	"genrec/pkg/schedule"
	"genrec/retrain"
)

// never, as the value of --schedule, disables trainings.
const never = "never"

func scheduleFlag(without, usage string) cli.Flag {
	return &cli.StringFlag{Name: "schedule", DefaultText: without, Usage: usage, Validator: parsable(parseSchedule)}
}

// readSchedule returns nil if there is no schedule.
func readSchedule(cmd *cli.Command, without string) (*schedule.Schedule, error) {
	s, err := parseSchedule(cmp.Or(cmd.String("schedule"), without))
	return s, settings.Invalid(cmd, err, "schedule")
}

func parseSchedule(text string) (*schedule.Schedule, error) {
	if text == "" || text == never {
		return nil, nil
	}
	s, err := schedule.Parse(text)
	return &s, err
}

// retrainOnSchedule trains at the scheduled times until the context ends.
func retrainOnSchedule(ctx context.Context, cmd *cli.Command, times schedule.Schedule) (err error) {
	var data, ranks error
	if cmd.String("data") != "" {
		data = errors.New("--schedule trains on Redis: there is nothing new to learn from --data at each time")
	}
	if _, isRank, err := dist.FromEnv(); err != nil || isRank {
		ranks = errors.Join(err, errors.New("--schedule is for one process, which starts others by --nproc, but RANK is set: let the launcher that set it start each training, without --schedule"))
	}
	config, m, training := openTraining(ctx, cmd)
	historyDir, err := openHistory(cmd)
	if err := settings.Join(data, ranks, required(cmd, "redis", "the Redis with the sequences to train on"), training, err); err != nil {
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
	progress := retrain.NewProgressMetrics(config.Progress)
	config.Progress = progress
	o.metrics.MustRegister(progress.Metrics()...)
	o.readyWhen(s.ready)
	config.Erasures = s.store
	train := func(ctx context.Context) (retrain.Report, error) { return trainLatest(ctx, config, s, historyDir, m) }
	if n := cmd.Int("nproc"); n > 1 {
		train = func(ctx context.Context) (retrain.Report, error) { return retrainInRanks(ctx, n, m) }
	}
	retrain.Scheduler{Config: config, Models: m.registry, Train: train, OnEnd: progress.RecordRun}.Run(ctx, times)
	return nil
}

// retrainInRanks trains once in n processes. It reads the report of the version that they
// published, so that processes need not exchange reports.
func retrainInRanks(ctx context.Context, n int, m models) (report retrain.Report, err error) {
	err = launchRanks(ctx, n, append(os.Args[1:], "--schedule", never)...)
	if err != nil && !errors.Is(err, retrain.ErrRefused) && !errors.Is(err, retrain.ErrWaiting) {
		return report, err
	}
	versions, listed := m.registry.Versions(ctx) // the newest one is theirs: they held the lock
	if listed != nil || len(versions) == 0 {
		return report, fmt.Errorf("find the version that was trained: %w", cmp.Or(listed, registry.ErrNoVersion))
	}
	newest := versions[len(versions)-1]
	report, read := retrain.ReadReport(ctx, m.registry, newest)
	report.Version = newest
	if read == nil && errors.Is(err, retrain.ErrWaiting) {
		report.Split, read = m.registry.Serving(ctx)
	}
	return report, read
}
