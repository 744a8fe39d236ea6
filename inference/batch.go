package inference

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// writers is how many batches are written at once.
const writers = 4

// batch is a number of users on their way through the pipeline.
type batch struct {
	users       []*pending
	set         *servingSet
	tasks       []*task // of users whose recommendations are outdated
	deadLetters []kafka.Message
	span        *stream.Span
	began       time.Time
}

// task is a user of a batch and what is to be written.
type task struct {
	*pending
	request  Request
	result   userstate.List
	replaces userstate.List
	answers  []answer // to what is replaced
}

// startBatches starts a batch whenever users wait and there is a slot: the models say how many
// of those keep the device busy. A batch has whoever waits by then, up to the bound, and leaves
// its slot when a writer takes it over, so that slow writes hold up new batches.
func (r *run) startBatches(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range writers {
		group.Go(func() error { return r.writeBatches(ctx) })
	}
	group.Go(func() error {
		for {
			b, err := r.start(ctx)
			if err != nil {
				return err
			}
			group.Go(func() error {
				defer func() { <-b.set.slots }()
				return r.generateBatch(ctx, b)
			})
		}
	})
	return group.Wait()
}

// start waits for users, a model and a slot, in this order: the later users are taken, the
// more of them there are.
func (r *run) start(ctx context.Context) (*batch, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.queue.ready:
		}
		set, err := r.serving.acquire(ctx)
		if err != nil {
			return nil, err
		}
		waits := time.Now()
		select {
		case <-ctx.Done():
			set.batches.Done()
			return nil, ctx.Err()
		case set.slots <- struct{}{}:
		}
		if err := r.queue.gather(ctx, r.size.get(), time.Until(r.lastStart.Add(r.size.spacing(cap(set.slots))))); err != nil {
			<-set.slots
			set.batches.Done()
			return nil, err
		}
		b := &batch{set: set, users: r.queue.take(r.size.withBacklog(r.queue.live())), began: time.Now()}
		if len(b.users) > 0 {
			r.lastStart = b.began
			r.metrics.stage("slot", b.began.Sub(waits))
			r.metrics.waiting.Set(float64(r.queue.len()))
			return b, nil
		}
		<-set.slots // their partition was lost
		set.batches.Done()
	}
}

// generateBatch is the part of a batch that takes a slot.
func (r *run) generateBatch(ctx context.Context, b *batch) error {
	for _, p := range b.users {
		p.trace.AddStep(ctx, "wait", p.queued, b.began)
	}
	b.span = beginBatch(ctx, b.users)
	err := r.read(b.span.Context(ctx), b)
	if err == nil {
		err = r.generateAll(b.span.Context(ctx), b)
	}
	if err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case r.generated <- b:
			return nil
		}
	}
	r.abandon(b)
	return err
}

// abandon ends a batch without effects: its refreshes stay uncommitted.
func (r *run) abandon(b *batch) {
	b.span.End()
	b.set.batches.Done()
}

// read makes tasks of the users whose recommendations are of another sequence or another
// model than their current ones, and dead letters for those whose sequence is corrupt.
func (r *run) read(ctx context.Context, b *batch) error {
	began := time.Now()
	ids := make([]string, len(b.users))
	for i, p := range b.users {
		ids[i] = p.refresh.User
	}
	var states []sessions.UserState
	what := fmt.Sprintf("read the sequences and recommendations of %d users", len(ids))
	err := backoff.Retry(ctx, r.cfg.Logger, what, func() (err error) {
		states, err = r.sessions.Read(ctx, ids)
		return err
	})
	if err != nil {
		return err
	}
	for i, p := range b.users {
		state := &states[i]
		if state.Err != nil {
			p.trace.Fail(ReasonBadSequence)
			b.deadLetters = append(b.deadLetters, stream.NewDeadLetter(p.message, ReasonBadSequence, state.Err.Error()))
			continue
		}
		if t := b.task(p, state); t != nil {
			b.tasks = append(b.tasks, t)
		}
	}
	r.counters.skipped.Add(int64(len(b.users) - len(b.deadLetters) - len(b.tasks)))
	r.metrics.stage("read", time.Since(began))
	traceBatch(ctx, "read", began, b.users)
	return nil
}

// task returns what is to be done for a user, nil for nothing.
func (b *batch) task(p *pending, state *sessions.UserState) *task {
	sequence, version := state.Sequence, b.set.versionFor(p.refresh.User)
	current := state.Stored.SequenceVersion == sequence.Version && state.Stored.ModelVersion == version
	if current || len(sequence.Interactions) == 0 {
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
		answers:  answers(state.Stored, sequence, b.set.credited),
	}
}

func items(s sessions.Sequence) []string {
	items := make([]string, len(s.Interactions))
	for i, interaction := range s.Interactions {
		items[i] = interaction.Item
	}
	return items
}
