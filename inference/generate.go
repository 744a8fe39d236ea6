package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"genrec/pkg/parallel"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
)

// maxFailures is the number of users, each alone in a batch, who may fail consecutively before the
// model is considered broken.
const maxFailures = 3

// consecutiveFailures counts the users who failed since the last success, by model version.
type consecutiveFailures struct {
	mu     sync.Mutex
	counts map[string]int
}

func (f *consecutiveFailures) reset(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.counts, version)
}

func (f *consecutiveFailures) add(version string) (count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[string]int)
	}
	f.counts[version]++
	return f.counts[version]
}

// generate generates the lists of all tasks, each with the user's model version. Failed tasks are
// removed from the batch.
func (r *run) generate(ctx context.Context, b *batch) error {
	byVersion := map[string][]*task{}
	for _, t := range b.tasks {
		byVersion[t.result.ModelVersion] = append(byVersion[t.result.ModelVersion], t)
	}
	began := time.Now()
	all := b.tasks
	b.tasks = b.tasks[:0:0]
	for version, tasks := range byVersion {
		done, err := r.generateWithModel(ctx, b, b.set.models[version], tasks)
		if err != nil {
			return err
		}
		b.tasks = append(b.tasks, done...)
	}
	if len(all) > 0 {
		r.size.observe(len(all), time.Since(began))
	}
	traceTasks(ctx, "generate", began, all, b.span)
	return nil
}

// generateWithModel generates for all tasks at once. If that fails, it isolates the users who cause
// the failure and adds their dead letters. If all users fail, several in this batch or each alone in
// consecutive batches, the model is at fault: the error stops the worker, and the refreshes stay
// uncommitted for the next run.
func (r *run) generateWithModel(ctx context.Context, b *batch, model Generator, tasks []*task) (done []*task, err error) {
	if err = r.generateTasks(ctx, model, tasks); err == nil {
		return tasks, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	if len(tasks) > 1 {
		r.cfg.Logger.WarnContext(ctx, "generate batch failed; isolating the users that cause it", "users", len(tasks), "err", err)
	}
	done, last, err := r.isolate(ctx, b, model, tasks, err)
	if err != nil {
		return nil, err
	}
	if len(done) == 0 && (len(tasks) > 1 || last.count >= maxFailures) {
		return nil, fmt.Errorf("model %q fails for each of %d users: %w", model.Version(), last.count, last.err)
	}
	return done, nil
}

// failure is the last failure of a single user.
type failure struct {
	count int // of consecutive failures
	err   error
}

// isolate finds the users who fail alone by bisection and returns the tasks of the others, with
// their results. err is the failure of all tasks together.
func (r *run) isolate(ctx context.Context, b *batch, model Generator, tasks []*task, err error) (done []*task, last failure, _ error) {
	if ctx.Err() != nil {
		return nil, last, err
	}
	if len(tasks) == 1 {
		t := tasks[0]
		t.span.Fail(ReasonGenerateFailed)
		b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(t.message, ReasonGenerateFailed, err.Error()))
		return nil, failure{r.failures.add(model.Version()), err}, nil
	}
	for _, half := range [][]*task{tasks[:len(tasks)/2], tasks[len(tasks)/2:]} {
		if err := r.generateTasks(ctx, model, half); err == nil {
			done = append(done, half...)
		} else {
			doneOfHalf, lastOfHalf, err := r.isolate(ctx, b, model, half, err)
			if err != nil {
				return nil, last, err
			}
			done, last = append(done, doneOfHalf...), lastOfHalf
		}
	}
	return done, last, nil
}

// generateTasks sets the results of tasks.
func (r *run) generateTasks(ctx context.Context, model Generator, tasks []*task) error {
	requests := make([]Request, len(tasks))
	for i, t := range tasks {
		requests[i] = t.request
	}
	generated, err := callModel(ctx, model, requests)
	if err != nil {
		return fmt.Errorf("generate lists of %d users with model %q: %w", len(requests), model.Version(), err)
	}
	for _, stage := range generated.Stages {
		r.metrics.observeStage(stage.Name, stage.Took)
	}
	now := time.Now().UTC()
	for i := range tasks {
		tasks[i].result.Items = generated.Lists[i]
		tasks[i].result.GeneratedAt = now
	}
	r.failures.reset(model.Version())
	r.counters.generated.Add(int64(len(tasks)))
	return nil
}

// callModel calls a model and validates its output. It returns a panic as an error: a user whose
// data make the model panic must not stop the worker, again after each restart.
func callModel(ctx context.Context, model Generator, requests []Request) (generated Generated, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *parallel.Panic:
			err = p
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if generated, err = model.Generate(ctx, requests); err != nil {
		return generated, err
	}
	if len(generated.Lists) != len(requests) {
		return generated, fmt.Errorf("got %d lists for %d users", len(generated.Lists), len(requests))
	}
	var errs []error
	for _, list := range generated.Lists {
		errs = append(errs, checkScores(list))
	}
	return generated, errors.Join(errs...)
}

// checkScores rejects scores that JSON cannot represent: writing them would fail on every retry.
func checkScores(items []userstate.ScoredItem) error {
	for _, item := range items {
		if math.IsNaN(item.Score) || math.IsInf(item.Score, 0) {
			return fmt.Errorf("item %q has score %v", item.Item, item.Score)
		}
	}
	return nil
}
