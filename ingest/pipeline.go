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

// pipeline ingests one partition. Its stages run concurrently, each on its own batch, so that a
// slow response from Redis delays neither fetching and validating the next batch nor publishing
// and committing the previous one. Batches pass the stages in order: the effects of each come in
// the order that makes a crash between any two of them harmless.
type pipeline struct {
	*run
	partition *stream.Partition
	batcher   *batcher            // from fetch to append
	appended  chan appendedBatch  // from append to publish
	published chan publishedBatch // from publish to commit
	held      atomic.Int64        // bytes of the budget
}

// appendedBatch is a batch whose events are in the sequences.
type appendedBatch struct {
	*batch
	results []sessions.Appended // parallel to batch.users
}

// publishedBatch is what remains of a batch that only needs to be committed.
type publishedBatch struct {
	next  int64 // offset to commit
	stats Stats
}

// maxUncommitted bounds the batches that wait for a commit.
const maxUncommitted = 64

func (r *run) runPipeline(ctx context.Context, partition *stream.Partition) error {
	p := &pipeline{
		run: r, partition: partition,
		batcher:   newBatcher(r.cfg.MaxBatch, r.linger),
		appended:  make(chan appendedBatch),
		published: make(chan publishedBatch, maxUncommitted),
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, stage := range []func(context.Context) error{p.fetch, p.append, p.publish, p.commit} {
		group.Go(func() error { return stage(ctx) })
	}
	err := group.Wait()
	p.release(p.held.Load())
	return err
}

// fetch is the first stage: it fetches messages, validates them and adds them to the batcher.
func (p *pipeline) fetch(ctx context.Context) error {
	for {
		messages, err := p.partition.FetchBatch(ctx)
		if err != nil {
			return err
		}
		for _, m := range messages {
			d := p.decode(ctx, m)
			d.cost = min(d.cost, p.cfg.MaxBytes) // a larger one would wait forever
			if err := p.acquire(ctx, d.cost); err != nil {
				return err
			}
			if err := p.batcher.add(ctx, d); err != nil {
				return err
			}
		}
	}
}

func (p *pipeline) decode(ctx context.Context, m kafka.Message) decoded {
	span, began := p.tracer.StartProcess(ctx, m), time.Now()
	d := decode(m, began, p.cfg.Limits)
	if d.source.span = span; span.Recording() {
		span.AddStep(ctx, "decode", began, time.Now())
	}
	return d
}

func (p *pipeline) acquire(ctx context.Context, bytes int64) error {
	if err := p.budget.Acquire(ctx, bytes); err != nil {
		return err
	}
	p.held.Add(bytes)
	p.metrics.heldBytes.Add(float64(bytes))
	return nil
}

func (p *pipeline) release(bytes int64) {
	p.held.Add(-bytes)
	p.metrics.heldBytes.Sub(float64(bytes))
	p.budget.Release(bytes)
}

// fetchPause returns how long to let messages accumulate between two fetch requests, so that a
// few messages do not cost a fetch request, round trips to Redis and a commit. It follows the
// duration of an append, which is short under low load; a message of a quiet topic is not delayed,
// because it arrives after the pause. With many cores, requests are cheap compared with latency,
// and the pause is shorter.
func (r *run) fetchPause() time.Duration {
	return min(10*time.Duration(r.lastAppend.Load()), maxFetchPause)
}

var maxFetchPause = max(4*time.Millisecond, 32*time.Millisecond/time.Duration(runtime.GOMAXPROCS(0)))

// append is the second stage: it appends the events of a batch to the sequences in Redis.
func (p *pipeline) append(ctx context.Context) error {
	for {
		b, err := p.batcher.take(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		results, err := p.appendEvents(ctx, b)
		if err != nil {
			return err
		}
		ended := time.Now()
		p.metrics.appendSeconds.Observe(ended.Sub(began).Seconds())
		p.lastAppend.Store(int64(ended.Sub(began)))
		b.addStep(ctx, "append", began, ended)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p.appended <- appendedBatch{b, results}:
		}
	}
}

// appendEvents appends the events of a batch, and dead-letters those of users with an unreadable
// sequence.
func (p *pipeline) appendEvents(ctx context.Context, b *batch) (results []sessions.Appended, err error) {
	if len(b.users) == 0 {
		return nil, nil
	}
	var unreadable sessions.UserErrors
	what := fmt.Sprintf("append to the sequences of %d users", len(b.users))
	err = backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
		results, err = p.sessions.Append(ctx, b.users)
		if errors.As(err, &unreadable) {
			return nil
		}
		return err
	})
	if err == nil && len(unreadable) > 0 {
		results = b.deadLetterUsers(unreadable, results)
	}
	return results, err
}

// publish is the third stage: it writes the refreshes and dead letters of a batch.
func (p *pipeline) publish(ctx context.Context) error {
	for {
		var b appendedBatch
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b = <-p.appended:
		}
		refreshes, err := b.refreshes(b.results)
		if err != nil {
			return err
		}
		sends := b.startSends(ctx, p.refreshes.Topic, refreshes)
		if err := p.write(ctx, b.batch, p.refreshes, ReasonRefreshRejected, refreshes); err != nil {
			return err
		}
		endAll(sends)
		if err := p.writeDeadLetters(ctx, b.batch); err != nil {
			return err
		}
		b.endSpans()
		p.release(b.bytes)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p.published <- publishedBatch{b.next, b.stats(b.results)}:
		}
	}
}

// write writes messages to a topic. Those that the topic rejects are logged and counted by a
// reason: they must not end the process after every restart.
func (p *pipeline) write(ctx context.Context, b *batch, to *kafka.Writer, rejected event.Reason, messages []kafka.Message) error {
	err := stream.Publish(ctx, p.cfg.Logger, to, messages...)
	var rejection *stream.RejectedError
	if !errors.As(err, &rejection) {
		return err
	}
	b.countDead(rejected, len(rejection.Messages))
	p.cfg.Logger.ErrorContext(ctx, "dropped messages that Kafka rejects", "topic", rejection.Topic, "messages", len(rejection.Messages), "err", rejection)
	return nil
}

func (p *pipeline) writeDeadLetters(ctx context.Context, b *batch) error {
	if len(b.deadLetters) == 0 {
		return nil
	}
	if err := p.write(ctx, b, p.deadLetters, ReasonDeadLetterRejected, b.deadLetters); err != nil {
		return err
	}
	if len(b.deadSpans) > 0 {
		ctx = b.deadSpans[0].Context(ctx) // puts a trace id in the log
	}
	p.cfg.Logger.WarnContext(ctx, "dead-lettered events", "topic", p.deadLetters.Topic, "reasons", b.dead)
	return nil
}

// commit is the last stage: it commits all batches that were published since the last commit.
func (p *pipeline) commit(ctx context.Context) error {
	for {
		var batches []publishedBatch
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-p.published:
			batches = append(batches, b)
		}
		for len(p.published) > 0 {
			batches = append(batches, <-p.published)
		}
		if err := p.partition.Commit(ctx, batches[len(batches)-1].next); err != nil {
			return err
		}
		for _, b := range batches {
			p.counters.add(b.stats)
			p.metrics.committed(b.stats)
		}
		if err := backoff.Sleep(ctx, stream.CommitInterval); err != nil {
			return err
		}
	}
}
