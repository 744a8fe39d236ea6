package inference

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// apply brings the recommendations of a batch up to date. Every effect comes
// before the batch is finished, and can be repeated.
func (r *run) apply(ctx context.Context, batch []pending) error {
	began, span := time.Now(), beginBatch(ctx, batch)
	defer span.End()
	ctx = span.Context(ctx)
	tasks, unreadable, err := r.outdated(ctx, batch)
	if err != nil {
		return err
	}
	traceBatch(ctx, "read", began, batch)
	began = time.Now()
	done, failed, err := r.generateAll(ctx, tasks)
	if err != nil {
		return err
	}
	traceTasks(ctx, "generate", began, tasks, span)
	if err := r.bury(ctx, append(failed, unreadable...)...); err != nil {
		return err
	}
	began = time.Now()
	if err := r.write(ctx, done); err != nil {
		return err
	}
	traceTasks(ctx, "write", began, done)
	places := make([]ticket, len(batch))
	for i, p := range batch {
		places[i] = p.ticket
		p.trace.End()
	}
	r.finish(places...)
	return nil
}

// maxFailures is how many users, each alone in a batch, may fail one after the other.
const maxFailures = 3

// task is a user of a batch and what is to be written.
type task struct {
	pending
	request  Request
	result   sessions.Recommendations
	replaces sessions.Recommendations
	answers  []answer // to what is replaced
}

// outdated returns the users whose recommendations are of another sequence or another
// model than their current ones, and dead letters for those whose sequence cannot be read.
func (r *run) outdated(ctx context.Context, batch []pending) (tasks []task, unreadable []kafka.Message, err error) {
	asked := len(batch)
	var (
		sequences []sessions.Sequence
		stored    []sessions.Recommendations
	)
	for {
		sequences, stored, err = r.read(ctx, batch)
		var user *sessions.UserError
		if !errors.As(err, &user) {
			break
		}
		at := slices.IndexFunc(batch, func(p pending) bool { return p.refresh.User == user.User })
		batch[at].trace.Fail(ReasonBadSequence)
		unreadable = append(unreadable, stream.DeadLetter(batch[at].message, ReasonBadSequence, err.Error()))
		batch = slices.Delete(slices.Clone(batch), at, at+1)
	}
	if err != nil {
		return nil, nil, err
	}
	for i, p := range batch {
		sequence, version := sequences[i], r.fleet.versionFor(p.refresh.User)
		current := stored[i].SequenceVersion == sequence.Version && stored[i].ModelVersion == version
		if current || len(sequence.Interactions) == 0 {
			continue
		}
		tasks = append(tasks, task{
			pending: p,
			request: Request{User: sequence.User, Items: items(sequence)},
			result: sessions.Recommendations{
				RecID:           sessions.NewRecID(version),
				User:            sequence.User,
				ModelVersion:    version,
				SequenceVersion: sequence.Version,
				Source:          sessions.SourceModel,
			},
			replaces: stored[i],
			answers:  answers(stored[i], sequence, r.served),
		})
	}
	r.counters.update(func(s *Stats) { s.Skipped += int64(asked - len(unreadable) - len(tasks)) })
	return tasks, unreadable, nil
}

// read retries for as long as it is Redis that fails, and not a user's data.
func (r *run) read(ctx context.Context, batch []pending) (sequences []sessions.Sequence, stored []sessions.Recommendations, err error) {
	users := make([]string, len(batch))
	for i, p := range batch {
		users[i] = p.refresh.User
	}
	what := fmt.Sprintf("read the sequences and recommendations of %d users", len(users))
	err = backoff.Retry(ctx, r.cfg.Logger, what, func() (err error) {
		if sequences, err = r.sessions.Sequences(ctx, users); err == nil {
			stored, err = r.sessions.RecommendationsOf(ctx, users)
		}
		if of := (*sessions.UserError)(nil); errors.As(err, &of) {
			return backoff.Permanent(err)
		}
		return err
	})
	return sequences, stored, err
}

// generateAll generates for all, each by their model.
func (r *run) generateAll(ctx context.Context, tasks []task) (done []task, failed []kafka.Message, err error) {
	if len(r.fleet.models) == 1 {
		return r.generateBy(ctx, r.fleet.models[r.fleet.leader], tasks)
	}
	for version, model := range r.fleet.models {
		var own []task
		for _, t := range tasks {
			if t.result.ModelVersion == version {
				own = append(own, t)
			}
		}
		ownDone, ownFailed, err := r.generateBy(ctx, model, own)
		if err != nil {
			return nil, nil, err
		}
		done, failed = append(done, ownDone...), append(failed, ownFailed...)
	}
	return done, failed, nil
}

// generateBy generates for all at once, and if that fails for one after the
// other. It returns dead letters for those who fail even so, unless all of several
// fail, in this batch or alone one after the other: then the model is at fault, and the
// users are to be answered by another one after a restart.
func (r *run) generateBy(ctx context.Context, model Generator, tasks []task) (done []task, failed []kafka.Message, err error) {
	if len(tasks) == 0 {
		return nil, nil, nil
	}
	err = r.generateTasks(ctx, model, tasks)
	if err == nil {
		delete(r.failures, model.Version())
		return tasks, nil, nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	r.cfg.Logger.WarnContext(ctx, "will try the users one by one", "err", err)
	for i := range tasks {
		err = r.generateTasks(ctx, model, tasks[i:i+1])
		switch {
		case err == nil:
			delete(r.failures, model.Version())
			done = append(done, tasks[i])
		case ctx.Err() != nil:
			return nil, nil, err
		default:
			r.failures[model.Version()]++
			tasks[i].trace.Fail(ReasonGenerateFailed)
			failed = append(failed, stream.DeadLetter(tasks[i].message, ReasonGenerateFailed, err.Error()))
		}
	}
	if len(done) == 0 && (len(tasks) > 1 || r.failures[model.Version()] >= maxFailures) {
		return nil, nil, fmt.Errorf("model %q fails for each of %d users: %w", model.Version(), r.failures[model.Version()], err)
	}
	return done, failed, nil
}

// generateTasks sets the results.
func (r *run) generateTasks(ctx context.Context, model Generator, tasks []task) error {
	requests := make([]Request, len(tasks))
	for i, t := range tasks {
		requests[i] = t.request
	}
	lists, err := generateSafely(ctx, model, requests)
	if err == nil && len(lists) != len(requests) {
		err = fmt.Errorf("got %d lists", len(lists))
	}
	for i := 0; err == nil && i < len(lists); i++ {
		err = checkScores(lists[i])
	}
	if err != nil {
		return fmt.Errorf("generate for %d users with model %q: %w", len(requests), model.Version(), err)
	}
	now := time.Now().UTC()
	for i := range tasks {
		tasks[i].result.Items = lists[i]
		tasks[i].result.GeneratedAt = now
	}
	r.counters.update(func(s *Stats) { s.Generated += int64(len(tasks)) })
	return nil
}

// generateSafely makes an error of a panic: what one user's data leads to must not end the
// worker again after each restart.
func generateSafely(ctx context.Context, model Generator, requests []Request) (lists [][]sessions.ScoredItem, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return model.Generate(ctx, requests)
}

func items(s sessions.Sequence) []string {
	items := make([]string, len(s.Interactions))
	for i, interaction := range s.Interactions {
		items[i] = interaction.Item
	}
	return items
}
