package retrain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// Independent random streams of one seed.
const (
	trainingStream = iota + 1
	evaluationStream
	dropoutStream
	choiceStream
)

// niceness is that of the threads of a training.
const niceness = 10

// rawPriority is the niceness plus the value that the system call getpriority returns.
const rawPriority = 20

// Run trains a model on the sequences of a snapshot, stage by stage, and publishes a version:
//
//	initialize   catalog and vocabulary; random weights, or those of the current version (warm start)
//	split        histories to train on, and held-out items for the validation
//	train        pretraining and finetuning, with checkpoints; tuning of the ensemble weights
//	evaluate     leave-one-out, and on interactions newer than the current version
//	gate         compare the candidate with the current version on the same users
//	publish      add the version; promote it if it passed the gate and no split is active
//
// A run can be stopped through ctx, or killed, at any time: nothing is published then, and the next
// Run of the same configuration on the same snapshot resumes and arrives at the same model. It fails
// with ErrErased, and publishes nothing, if users of the snapshot were erased meanwhile, and with
// ErrNoData if there is too little data to train or to evaluate on.
func Run(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry) (report Report, err error) {
	if err := c.Validate(); err != nil {
		return Report{}, fmt.Errorf("retrain configuration: %w", err)
	}
	if c.Progress == nil {
		c.Progress = noProgress{}
	}
	err = onOwnThread(c.Logger, func() (err error) {
		report, err = run(ctx, c, sequences, models)
		return err
	})
	return report, err
}

func run(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry) (report Report, err error) {
	previous, err := c.previousVersion(ctx, models)
	if err != nil {
		return report, err
	}
	work, err := openWorkspace(models, identify(c, sequences, previous))
	if err != nil {
		return report, err
	}
	defer func() {
		finished := err == nil || errors.Is(err, ErrErased) || errors.Is(err, ErrNoData)
		err = errors.Join(err, work.close(finished))
	}()
	if err := checkData(sequences, c.Ranker.AllowSeen); err != nil {
		return report, err
	}
	report, err = findPublished(ctx, c, sequences, models, work)
	if err == nil && report.Version == "" {
		report, err = makeVersion(ctx, c, sequences, models, work, previous)
	}
	if err != nil {
		return report, err
	}
	return promote(ctx, c.Logger, models, report)
}

// makeVersion runs the stages up to publication.
func makeVersion(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry, work *workspace, previous *previousVersion) (report Report, err error) {
	report = Report{Device: c.Device.String(), Seed: c.Seed, Recipe: c.Recipe, StartedAt: time.Now().UTC()}
	start, err := initialize(ctx, c, sequences, previous)
	if err != nil {
		return report, err
	}
	bundle := &start.bundle
	defer bundle.Model.Drop()
	data := split(sequences, bundle.Catalog, start.heldOut)
	bundle.Rules = data.learnRules(bundle.Catalog.Items(), bundle.Model.Config.Rules())
	if err := bundle.Check(); err != nil {
		return report, err
	}
	report.describe(c, sequences, start)
	c.Logger.InfoContext(ctx, "training", "users", report.Users, "items", report.Items,
		"interactions", report.Interactions, "parameters", report.Parameters, "device", report.Device)
	if err := c.checkMemory(); err != nil {
		return report, err
	}

	var candidate evaluation
	if report.trainingResult, candidate, err = trainAndEvaluate(ctx, c, sequences, models, work, start, data); err != nil {
		return report, err
	}
	started := time.Now()
	if report.Gate, err = evaluateGate(ctx, c, sequences, candidate, bundle.Catalog); err != nil {
		return report, err
	}
	report.LeaveOneOut = candidate.metrics
	report.EvaluateSeconds = candidate.seconds + time.Since(started).Seconds()
	report.PeakMemoryMB = peakMemoryMB()
	report.FinishedAt = time.Now().UTC()

	if err := c.checkErasures(ctx, sequences, c.snapshotTime()); err != nil {
		return report, fmt.Errorf("the model is not published: %w", err)
	}
	report.Version, err = publish(ctx, models, work, *bundle, report, previous)
	return report, err
}

// trainAndEvaluate trains the model and evaluates it, with one ranker for validation and evaluation.
func trainAndEvaluate(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry, work *workspace, start *initialized, data trainingData) (l trainingResult, e evaluation, err error) {
	ranker, err := model.NewRanker(start.bundle, c.trainingRanker())
	if err != nil {
		return l, e, err
	}
	defer func() { err = errors.Join(err, ranker.Close()) }()
	if l, err = train(ctx, c, work, start, data, ranker); err != nil {
		return l, e, err
	}
	e, err = evaluateCandidate(ctx, c, sequences, models, ranker, start.bundle.Catalog)
	return l, e, err
}

// onOwnThread runs f on a new OS thread at low priority, so that serving on the same machine has
// precedence.
func onOwnThread(logger *slog.Logger, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread and its niceness end with the goroutine
		lowerPriority(logger)
		done <- f()
	}()
	return <-done
}

// lowerPriority sets the niceness of the calling OS thread, unless it is higher already.
func lowerPriority(logger *slog.Logger) {
	if at, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()); err == nil && rawPriority-at >= niceness {
		return
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness); err != nil {
		logger.Warn("cannot lower the priority of a training thread", "err", err)
	}
}

// trainingRanker returns the configuration of rankers in a training: float32, because a copy in another
// precision would not follow the updates of the weights.
func (c Config) trainingRanker() model.RankerConfig {
	config := c.Ranker
	config.Precision = model.Float32
	config.OnThreadStart = func() { lowerPriority(c.Logger) }
	return config
}

func peakMemoryMB() float64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Maxrss) / 1024 // in kilobytes on Linux
}
