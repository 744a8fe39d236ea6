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
				b.abandon()
				return err
			}
		}
	}
}

// writeBatch writes the dead letters and lists of a batch, which is idempotent, and then finishes
// its refreshes.
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
		r.metrics.observeStage("write", time.Since(began))
	}
	traceTasks(batchCtx, "write", began, b.tasks)
	for _, p := range b.users {
		p.span.End()
		p.offset.finish()
	}
	r.queue.release(b.users)
	r.metrics.observeBatch(len(b.users), time.Since(b.began))
	b.span.End()
	b.set.batches.Done()
	return nil
}

// write writes the lists. Those that are not written, because the stored list is newer, count as
// stale.
func (r *run) write(ctx context.Context, b *batch) error {
	if len(b.tasks) == 0 {
		return nil
	}
	lists := make([]userstate.List, len(b.tasks))
	for i, t := range b.tasks {
		lists[i] = t.result
	}
	var puts []sessions.Put
	operation := fmt.Sprintf("write the lists of %d users", len(lists))
	err := backoff.Retry(ctx, r.cfg.Logger, operation, func() (err error) {
		puts, err = r.sessions.PutLists(ctx, lists)
		return err
	})
	if err != nil {
		return err
	}

	now := time.Now().UTC()
	var written int64
	for i, t := range b.tasks {
		if !puts[i].Written {
			continue
		}
		written++
		if puts[i].Replaced == t.replaces.RecID { // otherwise another worker has counted its hits
			r.hits.add(now, t.result.User, t.hits)
			r.metrics.countHits(t.hits, b.set.recentVersions)
		}
		for _, ms := range t.refresh.ProducedAt {
			r.metrics.freshness.Observe(now.Sub(time.UnixMilli(ms)).Seconds())
		}
		r.notify(Written{
			Recommendations: t.result, Replaced: t.replaces, Items: t.request.Items,
			ProducedAt: times(t.refresh.ProducedAt), WrittenAt: now,
		})
	}
	r.counters.written.Add(written)
	r.counters.stale.Add(int64(len(b.tasks)) - written)
	return nil
}

func (r *run) notify(w Written) {
	if r.cfg.OnWritten == nil {
		return
	}
	r.onWritten.Lock()
	defer r.onWritten.Unlock()
	r.cfg.OnWritten(w)
}

func times(ms []int64) []time.Time {
	times := make([]time.Time, len(ms))
	for i := range ms {
		times[i] = time.UnixMilli(ms[i]).UTC()
	}
	return times
}
