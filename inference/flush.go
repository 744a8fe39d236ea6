package inference

import (
	"context"
	"time"

	"genrec/pkg/backoff"
)

// flushEvery is how much a kill loses of the counts.
const flushEvery = 5 * time.Second

// flush writes the answers that were gathered from time to time.
func (r *run) flush(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := r.writeFeedback(ctx); err != nil {
			return err
		}
	}
}

// lastFlush bounds how long Redis may keep a worker from ending.
const lastFlush = 5 * time.Second

// flushRest is for the end, after all who gather have stopped and ctx is over.
func (r *run) flushRest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	return r.writeFeedback(ctx)
}

func (r *run) writeFeedback(ctx context.Context) error {
	r.unwritten = append(r.unwritten, r.feedback.take()...)
	for len(r.unwritten) > 0 {
		err := backoff.Retry(ctx, r.cfg.Logger, "count what came of recommendations", func() error {
			return r.sessions.AddFeedback(ctx, r.unwritten[0])
		})
		if err != nil {
			return err
		}
		r.unwritten = r.unwritten[1:]
	}
	return nil
}
