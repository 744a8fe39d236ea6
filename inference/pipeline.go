package inference

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// maxWriters is the number of batches that are written concurrently.
const maxWriters = 4

// batch is a group of users on their way through the pipeline.
type batch struct {
	users       []*pending
	set         *servingSet
	tasks       []*task // of the users whose list is outdated
	deadLetters []kafka.Message
	span        *stream.Span
	began       time.Time
}

// task is the generation of a user's list.
type task struct {
	*pending
	request  Request
	result   userstate.List
	replaces userstate.List // the stored list
	hits     []versionHits  // on the stored list
}

// runBatches starts a batch whenever users wait and a slot is free. A batch occupies its slot until
// a writer receives it, so that slow writes delay new batches.
func (r *run) runBatches(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range maxWriters {
		group.Go(func() error { return r.writeBatches(ctx) })
	}
	group.Go(func() error {
		for {
			b, err := r.nextBatch(ctx)
			if err != nil {
				return err
			}
			group.Go(func() error {
				defer func() { <-b.set.slots }()
				return r.processBatch(ctx, b)
			})
		}
	})
	return group.Wait()
}

// nextBatch waits for users, a model and a slot, in this order, and only then takes the users:
// the later they are taken, the larger the batch.
func (r *run) nextBatch(ctx context.Context) (*batch, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.queue.ready:
		}
		set, err := r.active.acquire(ctx)
		if err != nil {
			return nil, err
		}
		waitStart := time.Now()
		select {
		case <-ctx.Done():
			set.batches.Done()
			return nil, ctx.Err()
		case set.slots <- struct{}{}:
		}
		if err := r.queue.linger(ctx, r.size.get(), time.Until(r.lastStart.Add(r.size.spacing(cap(set.slots))))); err != nil {
			<-set.slots
			set.batches.Done()
			return nil, err
		}
		b := &batch{set: set, users: r.queue.take(r.size.withBacklog(r.queue.lenEvents())), began: time.Now()}
		if len(b.users) > 0 {
			r.lastStart = b.began
			r.metrics.observeStage("slot", b.began.Sub(waitStart))
			r.metrics.waiting.Set(float64(r.queue.len()))
			return b, nil
		}
		<-set.slots // the users' partition was revoked
		set.batches.Done()
	}
}

// processBatch runs the stages that occupy a slot: read and generate.
func (r *run) processBatch(ctx context.Context, b *batch) error {
	for _, p := range b.users {
		p.span.AddStep(ctx, "wait", p.queued, b.began)
	}
	b.span = startBatchSpan(ctx, b.users)
	err := r.read(b.span.Context(ctx), b)
	if err == nil {
		err = r.generate(b.span.Context(ctx), b)
	}
	if err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case r.generated <- b:
			return nil
		}
	}
	b.abandon()
	return err
}

// abandon ends a batch without effects: its refreshes stay uncommitted.
func (b *batch) abandon() {
	b.span.End()
	b.set.batches.Done()
}

// read reads the users' sequences and lists. It creates tasks for users whose list is of another
// sequence or model version, and dead letters for users whose sequence is unreadable.
func (r *run) read(ctx context.Context, b *batch) error {
	began := time.Now()
	ids := make([]string, len(b.users))
	for i, p := range b.users {
		ids[i] = p.refresh.User
	}
	var states []sessions.UserState
	operation := fmt.Sprintf("read the sequences and lists of %d users", len(ids))
	err := backoff.Retry(ctx, r.cfg.Logger, operation, func() (err error) {
		states, err = r.sessions.Read(ctx, ids)
		return err
	})
	if err != nil {
		return err
	}
	for i, p := range b.users {
		state := &states[i]
		if state.Err != nil {
			p.span.Fail(ReasonBadSequence)
			b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(p.message, ReasonBadSequence, state.Err.Error()))
			continue
		}
		if t := b.newTask(p, state); t != nil {
			b.tasks = append(b.tasks, t)
		}
	}
	r.counters.skipped.Add(int64(len(b.users) - len(b.deadLetters) - len(b.tasks)))
	r.metrics.observeStage("read", time.Since(began))
	traceUsers(ctx, "read", began, b.users)
	return nil
}

// newTask returns nil for a user whose list is up to date or who has no sequence.
func (b *batch) newTask(p *pending, state *sessions.UserState) *task {
	sequence, version := state.Sequence, b.set.versionFor(p.refresh.User)
	upToDate := state.Stored.SequenceVersion == sequence.Version && state.Stored.ModelVersion == version
	if upToDate || len(sequence.Interactions) == 0 {
		return nil
	}
	return &task{
		pending: p,
		request: Request{User: sequence.User, Items: items(sequence)},
		result: userstate.List{
			RecID:           userstate.NewRecID(version),
			User:            sequence.User,
			ModelVersion:    version,
			SequenceVersion: sequence.Version,
			Source:          userstate.SourceModel,
		},
		replaces: state.Stored,
		hits:     countHits(state.Stored, sequence, b.set.recentVersions),
	}
}

func items(s sessions.Sequence) []string {
	items := make([]string, len(s.Interactions))
	for i, interaction := range s.Interactions {
		items[i] = interaction.Item
	}
	return items
}

// startBatchSpan starts the span of a batch as a child of the first recorded user's span, linked
// with those of the others. It returns nil if no user is recorded.
func startBatchSpan(ctx context.Context, users []*pending) (span *stream.Span) {
	for _, p := range users {
		switch {
		case !p.span.Recording():
		case span == nil:
			span = p.span.StartChild(ctx, "batch", attribute.Int("genrec.users", len(users)))
		default:
			span.Link(p.span)
		}
	}
	return span
}

// traceUsers adds a step of the whole batch to the trace of each user.
func traceUsers(ctx context.Context, step string, began time.Time, users []*pending) {
	now := time.Now()
	for _, p := range users {
		p.span.AddStep(ctx, step, began, now)
	}
}

func traceTasks(ctx context.Context, step string, began time.Time, tasks []*task, links ...*stream.Span) {
	now := time.Now()
	for _, t := range tasks {
		t.span.AddStep(ctx, step, began, now, links...)
	}
}
