package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// worker ingests one partition. Its stages run at once, each on a batch of its own: a
// slow answer from Redis holds up neither what is fetched and decoded meanwhile nor what
// is published and committed. Batches pass them in order, so that the effects of each come
// in the order that makes a crash between any two of them harmless: what is repeated is
// idempotent, and nothing is skipped.
type worker struct {
	*run
	partition *stream.Partition
	inbox     *inbox
	appended  chan appended
	published chan finished
	held      atomic.Int64 // bytes of the budget
}

// appended is a batch that is in the sequences.
type appended struct {
	*batch
	versions []sessions.Appended // by user
}

// finished is what is left of a batch after all its effects.
type finished struct {
	next  int64
	stats Stats
}

// maxUncommitted bounds the batches that wait for one commit.
const maxUncommitted = 64

func (r *run) work(ctx context.Context, p *stream.Partition) error {
	w := &worker{
		run: r, partition: p,
		inbox:     newInbox(r.cfg.MaxBatch, r.linger),
		appended:  make(chan appended),
		published: make(chan finished, maxUncommitted),
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, stage := range []func(context.Context) error{w.fetch, w.append, w.publish, w.commit} {
		group.Go(func() error { return stage(ctx) })
	}
	err := group.Wait()
	r.budget.Release(w.held.Load())
	r.metrics.heldBytes.Sub(float64(w.held.Load()))
	return err
}

func (w *worker) fetch(ctx context.Context) error {
	for {
		messages, err := w.partition.FetchBatch(ctx)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := w.receive(ctx, m); err != nil {
				return err
			}
		}
	}
}

// pause is how long to let messages gather before the next request, so that few of them do not
// cost a request to the broker, round trips to Redis and another request each. It follows the
// time that an append takes, which is short while there is little load; a quiet topic's next
// message is not held up, since it comes later than that. With many cores, requests are cheap in
// comparison with the time that users wait.
func (r *run) fetchPause() time.Duration {
	return min(10*time.Duration(r.appendTook.Load()), longestPause)
}

var longestPause = max(4*time.Millisecond, 32*time.Millisecond/time.Duration(runtime.GOMAXPROCS(0)))

func (w *worker) receive(ctx context.Context, m kafka.Message) error {
	d := w.decode(ctx, m)
	d.cost = min(d.cost, w.cfg.MaxBytes) // a larger one would wait for ever
	if err := w.budget.Acquire(ctx, d.cost); err != nil {
		return err
	}
	w.held.Add(d.cost)
	w.metrics.heldBytes.Add(float64(d.cost))
	return w.inbox.add(ctx, d)
}

func (w *worker) decode(ctx context.Context, m kafka.Message) decoded {
	followed, began := w.tracer.StartProcess(ctx, m), time.Now()
	d := decode(m, began, w.cfg.Limits)
	if d.source.trace = followed; followed.Recording() {
		followed.AddStep(ctx, "decode", began, time.Now())
	}
	return d
}

func (w *worker) append(ctx context.Context) error {
	for {
		b, err := w.inbox.take(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		versions, err := w.appendUsers(ctx, b)
		if err != nil {
			return err
		}
		ended := time.Now()
		w.metrics.appendSeconds.Observe(ended.Sub(began).Seconds())
		w.appendTook.Store(int64(ended.Sub(began)))
		b.trace(ctx, "append", began, ended)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w.appended <- appended{b, versions}:
		}
	}
}

// appendUsers appends the events of a batch, and dead-letters those of users whose sequence
// is unreadable.
func (w *worker) appendUsers(ctx context.Context, b *batch) (versions []sessions.Appended, err error) {
	if len(b.users) == 0 {
		return nil, nil
	}
	var unreadable sessions.UserErrors
	what := fmt.Sprintf("append to the sequences of %d users", len(b.users))
	err = backoff.Retry(ctx, w.cfg.Logger, what, func() (err error) {
		versions, err = w.sessions.Append(ctx, b.users)
		if errors.As(err, &unreadable) {
			return nil
		}
		return err
	})
	if err == nil && len(unreadable) > 0 {
		versions = b.giveUp(unreadable, versions)
	}
	return versions, err
}

func (w *worker) publish(ctx context.Context) error {
	for {
		var b appended
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b = <-w.appended:
		}
		refreshes, err := b.refreshes(b.versions)
		if err != nil {
			return err
		}
		sent := b.send(ctx, w.refreshes.Topic, refreshes)
		if err := w.write(ctx, b.batch, w.refreshes, ReasonRefreshRejected, refreshes); err != nil {
			return err
		}
		endAll(sent)
		if err := w.bury(ctx, b.batch); err != nil {
			return err
		}
		b.endTraces()
		w.held.Add(-b.bytes)
		w.metrics.heldBytes.Sub(float64(b.bytes))
		w.budget.Release(b.bytes)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w.published <- finished{b.next, b.stats(b.versions)}:
		}
	}
}

// write publishes messages. One that the topic never takes is logged and counted: it must not
// end the process again after each restart.
func (w *worker) write(ctx context.Context, b *batch, to *kafka.Writer, rejected event.Reason, messages []kafka.Message) error {
	err := stream.Publish(ctx, w.cfg.Logger, to, messages...)
	var refused *stream.RejectedError
	if !errors.As(err, &refused) {
		return err
	}
	b.count(rejected, len(refused.Messages))
	w.cfg.Logger.ErrorContext(ctx, "gave up messages that Kafka rejects", "topic", refused.Topic, "messages", len(refused.Messages), "err", refused)
	return nil
}

func (w *worker) bury(ctx context.Context, b *batch) error {
	if len(b.deadLetters) == 0 {
		return nil
	}
	if err := w.write(ctx, b, w.deadLetters, ReasonDeadLetterRejected, b.deadLetters); err != nil {
		return err
	}
	if len(b.buried) > 0 {
		ctx = b.buried[0].Context(ctx)
	}
	w.cfg.Logger.WarnContext(ctx, "refused events", "topic", w.deadLetters.Topic, "reasons", b.dead)
	return nil
}

// commit commits for all batches that have been published since the last time.
func (w *worker) commit(ctx context.Context) error {
	for {
		var batches []finished
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-w.published:
			batches = append(batches, b)
		}
		for len(w.published) > 0 {
			batches = append(batches, <-w.published)
		}
		if err := w.partition.Commit(ctx, batches[len(batches)-1].next); err != nil {
			return err
		}
		for _, b := range batches {
			w.counters.add(b.stats)
			w.metrics.finished(b.stats)
		}
		if err := backoff.Sleep(ctx, stream.CommitInterval); err != nil {
			return err
		}
	}
}
