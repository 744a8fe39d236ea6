package inference

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"genrec/pkg/parallel"
	"genrec/pkg/stream"
)

// maxFailures is how many users, each alone in a batch, may fail one after the other.
const maxFailures = 3

// failures counts users who failed since the last one who did not, by model version.
type failures struct {
	mu     sync.Mutex
	counts map[string]int
}

func (f *failures) reset(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.counts, version)
}

func (f *failures) add(version string) (count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[string]int)
	}
	f.counts[version]++
	return f.counts[version]
}

// generateAll generates for all tasks of a batch, each by the user's model. Only tasks that
// succeeded remain.
func (r *run) generateAll(ctx context.Context, b *batch) error {
	byVersion := map[string][]*task{}
	for _, t := range b.tasks {
		byVersion[t.result.ModelVersion] = append(byVersion[t.result.ModelVersion], t)
	}
	began := time.Now()
	all := b.tasks
	b.tasks = b.tasks[:0:0]
	for version, tasks := range byVersion {
		done, err := r.generateBy(ctx, b, b.set.models[version], tasks)
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

// generateBy generates for all at once, and if that fails finds out for whom. Those users get
// dead letters, unless all of several fail, in this batch or each alone one after the other: then
// the model is at fault, and the users are to be answered by another one after a restart.
func (r *run) generateBy(ctx context.Context, b *batch, model Generator, tasks []*task) (done []*task, err error) {
	if err = r.generateTasks(ctx, model, tasks); err == nil {
		return tasks, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	if len(tasks) > 1 {
		r.cfg.Logger.WarnContext(ctx, "a batch failed: looking for the users who make it fail", "users", len(tasks), "err", err)
	}
	done, failures, err := r.isolate(ctx, b, model, tasks, err)
	if err != nil {
		return nil, err
	}
	if len(done) == 0 && (len(tasks) > 1 || failures.count >= maxFailures) {
		return nil, fmt.Errorf("model %q fails for each of %d users: %w", model.Version(), failures.count, failures.last)
	}
	return done, nil
}

// failed is what was the matter with users who failed alone.
type failed struct {
	count int // since the last one who did not
	last  error
}

// isolate splits tasks that failed together until those are found that fail alone, and returns
// the others with their results.
func (r *run) isolate(ctx context.Context, b *batch, model Generator, tasks []*task, err error) (done []*task, last failed, _ error) {
	if ctx.Err() != nil {
		return nil, last, err
	}
	if len(tasks) == 1 {
		t := tasks[0]
		t.trace.Fail(ReasonGenerateFailed)
		b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(t.message, ReasonGenerateFailed, err.Error()))
		return nil, failed{r.failures.add(model.Version()), err}, nil
	}
	for _, half := range [][]*task{tasks[:len(tasks)/2], tasks[len(tasks)/2:]} {
		if err := r.generateTasks(ctx, model, half); err == nil {
			done = append(done, half...)
		} else {
			ofHalf, lastOfHalf, err := r.isolate(ctx, b, model, half, err)
			if err != nil {
				return nil, last, err
			}
			done, last = append(done, ofHalf...), lastOfHalf
		}
	}
	return done, last, nil
}

// generateTasks sets the results.
func (r *run) generateTasks(ctx context.Context, model Generator, tasks []*task) error {
	requests := make([]Request, len(tasks))
	for i, t := range tasks {
		requests[i] = t.request
	}
	generated, err := generate(ctx, model, requests)
	if err != nil {
		return fmt.Errorf("generate for %d users with model %q: %w", len(requests), model.Version(), err)
	}
	for _, stage := range generated.Stages {
		r.metrics.stage(stage.Name, stage.Took)
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

// generate asks a model and checks what it answers. It turns a panic into an error: a user whose
// data make the model panic must not end the worker, again after each restart.
func generate(ctx context.Context, model Generator, requests []Request) (generated Generated, err error) {
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
		return generated, fmt.Errorf("got %d lists", len(generated.Lists))
	}
	var errs []error
	for _, list := range generated.Lists {
		errs = append(errs, checkScores(list))
	}
	return generated, errors.Join(errs...)
}
