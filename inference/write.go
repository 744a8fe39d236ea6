package inference

import (
	"context"
	"fmt"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func (r *run) writeBatches(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-r.generated:
			if err := r.writeBatch(ctx, b); err != nil {
				r.abandon(b)
				return err
			}
		}
	}
}

// writeBatch has the effects of a batch, which come before its refreshes are finished and can
// be repeated.
func (r *run) writeBatch(ctx context.Context, b *batch) error {
	batchCtx := b.span.Context(ctx)
	if err := r.deadLetter(batchCtx, b.deadLetters...); err != nil {
		return err
	}
	began := time.Now()
	if err := r.write(batchCtx, b); err != nil {
		return err
	}
	if len(b.tasks) > 0 {
		r.metrics.stage("write", time.Since(began))
	}
	traceTasks(batchCtx, "write", began, b.tasks)
	for _, p := range b.users {
		p.trace.End()
		p.offset.finish()
	}
	r.queue.written(b.users)
	r.metrics.batch(len(b.users), time.Since(b.began))
	b.span.End()
	b.set.batches.Done()
	return nil
}

// write stores the results, and reports those that were not refused as stale.
func (r *run) write(ctx context.Context, b *batch) error {
	if len(b.tasks) == 0 {
		return nil
	}
	recs := make([]userstate.List, len(b.tasks))
	for i, t := range b.tasks {
		recs[i] = t.result
	}
	var puts []sessions.Put
	what := fmt.Sprintf("write the recommendations of %d users", len(recs))
	err := backoff.Retry(ctx, r.cfg.Logger, what, func() (err error) {
		puts, err = r.sessions.PutLists(ctx, recs)
		return err
	})
	if err != nil {
		return err
	}

	now := time.Now().UTC()
	var n int64
	for i, t := range b.tasks {
		if !puts[i].Written {
			continue
		}
		n++
		if puts[i].Replaced == t.replaces.RecID { // or another worker has counted for it
			r.feedback.add(now, t.result.User, t.answers)
			r.metrics.came(t.answers, b.set.credited)
		}
		for _, ms := range t.refresh.ProducedAt {
			r.metrics.freshness.Observe(now.Sub(time.UnixMilli(ms)).Seconds())
		}
		r.report(Written{
			Recommendations: t.result, Replaced: t.replaces, Items: t.request.Items,
			ProducedAt: times(t.refresh.ProducedAt), WrittenAt: now,
		})
	}
	r.counters.written.Add(n)
	r.counters.stale.Add(int64(len(b.tasks)) - n)
	return nil
}

func (r *run) report(w Written) {
	if r.cfg.OnWritten == nil {
		return
	}
	r.reports.Lock()
	defer r.reports.Unlock()
	r.cfg.OnWritten(w)
}

func times(ms []int64) []time.Time {
	times := make([]time.Time, len(ms))
	for i := range ms {
		times[i] = time.UnixMilli(ms[i]).UTC()
	}
	return times
}
