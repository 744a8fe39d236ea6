package inference

import (
	"context"

	"genrec/pkg/backoff"
)

// MostNear is of how many items it is written what is popular near them, the most popular
// ones: that bounds what Redis keeps of it.
const MostNear = 10_000

// lead tells putNear which model leads now.
func (r *run) lead(model Generator) {
	select {
	case <-r.leads: // it has not begun with the one before
	default:
	}
	r.leads <- model
}

// putNear writes what is popular near items by each model that comes to lead, beside
// what is generated: it takes about a second.
func (r *run) putNear(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case model := <-r.leads:
			if err := backoff.Retry(ctx, r.cfg.Logger, "write what is popular near items", func() error {
				return r.sessions.PutNear(ctx, model.Near())
			}); err != nil {
				return err
			}
		}
	}
}
