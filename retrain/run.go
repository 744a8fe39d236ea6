package retrain

import (
	"context"
	"errors"
	"fmt"
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

// niceness of the training's threads: serving in the same machine goes first.
const niceness = 10

// rawPriority less what Linux returns as a priority is its niceness.
const rawPriority = 20

// Run trains on a snapshot and publishes the model, as the current version if the gate
// lets it pass and no split goes on, and else for the record. It can be stopped at any step
// through ctx, or killed; then nothing is published, and the
// next run of the same configuration on the same snapshot goes on where it was and
// comes to the same model. Nor is anything published that has learned from users who
// were forgotten meanwhile: the error is ErrForgotten then. Where nothing can be learned or
// nobody can be evaluated, it is ErrNoData. Items keep the codes that they have in the current
// version, and where the recipe has a warm start and the shape fits, the training goes on from
// its weights.
func Run(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, fmt.Errorf("retrain configuration: %w", err)
	}
	r := &run{config: c, sequences: sequences, models: models, progress: c.Progress}
	if r.progress == nil {
		r.progress = noProgress{}
	}
	var report Report
	err := r.onOwnThread(func() (err error) {
		report, err = r.do(ctx)
		return err
	})
	return report, err
}

// onOwnThread runs f at a lower priority.
func (r *run) onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread and its niceness end with the goroutine
		r.lowerPriority()
		done <- f()
	}()
	return <-done
}

type run struct {
	config    Config
	sequences []catalog.Sequence
	models    *registry.Registry
	progress  Progress
	work      *workspace
	before    *previousVersion
	heldBack  heldBack
	start     *WarmStart // nil from scratch
	near      [][]int    // by item number, in a warm start
	cold      string     // why from scratch
}

// lowerPriority makes the calling OS thread give way to others.
func (r *run) lowerPriority() {
	if at, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()); err == nil && rawPriority-at >= niceness {
		return // it gives way more than that already
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness); err != nil {
		r.config.Logger.Warn("training runs at full priority", "err", err)
	}
}

func (r *run) do(ctx context.Context) (report Report, err error) {
	if r.before, err = r.config.previousVersion(ctx, r.models); err != nil {
		return report, err
	}
	if r.work, err = openWorkspace(r.models, identify(r.config, r.sequences, r.before)); err != nil {
		return report, err
	}
	defer func() {
		over := err == nil || errors.Is(err, ErrForgotten) || errors.Is(err, ErrNoData)
		err = errors.Join(err, r.work.close(over))
	}()
	if err := checkData(r.sequences, r.config.Ranker.AllowSeen); err != nil {
		return report, err
	}

	report, err = r.published(ctx)
	if err == nil && report.Version == "" {
		report, err = r.trainVersion(ctx)
	}
	if err != nil {
		return report, err
	}
	err = r.promote(ctx, &report)
	return report, err
}

// trainVersion trains a model and publishes it.
func (r *run) trainVersion(ctx context.Context) (report Report, err error) {
	report = Report{
		Device: r.config.Device.String(), Seed: r.config.Seed, Recipe: r.config.Recipe, StartedAt: time.Now().UTC(),
	}
	if r.config.Snapshot != nil {
		report.SkippedUsers = r.config.Snapshot.Skipped
	}
	bundle, err := r.initialize(ctx)
	if err != nil {
		return report, err
	}
	defer bundle.Model.Drop()
	p := r.split(bundle.Catalog)
	bundle.Rules = p.rules(bundle.Catalog.Items(), bundle.Model.Config.Rules())
	if err := bundle.Check(); err != nil {
		return report, err
	}
	report.Users, report.Items, report.Watermark = len(r.sequences), bundle.Catalog.Items(), r.watermark()
	report.HeldBack = r.heldBack.bound
	if text := bundle.Catalog.TextFormat(); text != r.config.Text {
		report.ItemText = text
	}
	report.Interactions, report.Parameters = bundle.Catalog.Interactions(), bundle.Model.Parameters()
	r.config.Logger.InfoContext(ctx, "training", "users", report.Users, "items", report.Items,
		"interactions", report.Interactions, "parameters", report.Parameters, "device", report.Device)

	if err := r.config.checkMemory(); err != nil {
		return report, err
	}
	t, err := r.trainAndEvaluate(ctx, bundle, p, &report)
	if err != nil {
		return report, err
	}
	started := time.Now()
	if report.Gate, err = r.evaluateGate(ctx, t, bundle.Catalog); err != nil {
		return report, err
	}
	report.EvaluateSeconds += time.Since(started).Seconds()
	report.PeakMemoryMB = peakMemoryMB()
	report.FinishedAt = time.Now().UTC()

	if err := r.config.checkErasures(ctx, r.sequences, r.config.takenAt()); err != nil {
		return report, fmt.Errorf("the model is not published: %w", err)
	}
	report.Version, err = r.publish(ctx, bundle, report)
	return report, err
}

// trainAndEvaluate trains the model and evaluates it.
func (r *run) trainAndEvaluate(ctx context.Context, bundle model.Bundle, p parts, report *Report) (t evaluation, err error) {
	ranker, err := model.NewRanker(bundle, r.search())
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, ranker.Close()) }()
	if report.learned, err = r.train(ctx, bundle, ranker, p); err != nil {
		return t, err
	}
	started := time.Now()
	if t.baseline, err = r.findBaseline(ctx); err != nil { // now: it may have changed while the model trained
		return t, err
	}
	t.set = newEvaluationSet(r.config, r.sequences, bundle.Catalog, t.baseline.watermark)
	report.LeaveOneOut, t.answers, err = t.set.evaluate(ctx, ranker, bundle.Catalog, "evaluate", r.progress)
	report.EvaluateSeconds = time.Since(started).Seconds()
	return t, err
}

// search is the configuration of the rankers of a training.
func (r *run) search() model.RankerConfig {
	config := r.config.Ranker
	config.Precision = model.Float32 // a copy in another one would not see what the model learns
	config.OnThreadStart = r.lowerPriority
	return config
}

func peakMemoryMB() float64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Maxrss) / 1024 // Linux counts kilobytes
}
