package inference

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// finish marks messages as done, after all their effects.
func (r *run) finish(places ...ticket) {
	for _, place := range places {
		r.tracker.finish(place)
	}
	signal(r.finished)
}

// commit is the only one to commit: of two at once, the lower offset could come
// last and win.
func (r *run) commit(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.finished:
		}
		var last []kafka.Message // of each partition
		for partition, next := range r.tracker.advance() {
			last = append(last, kafka.Message{Topic: r.cfg.Topics.Refreshes, Partition: partition, Offset: next - 1})
		}
		if len(last) == 0 {
			continue
		}
		what := fmt.Sprintf("commit %d partitions of topic %q", len(last), r.cfg.Topics.Refreshes)
		err := backoff.Retry(ctx, r.cfg.Logger, what, func() error {
			return r.refreshes.CommitMessages(ctx, last...)
		})
		if err != nil {
			return err
		}
	}
}
