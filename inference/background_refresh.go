package inference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
	"genrec/sessions"
)

const (
	refreshLease = "renewal"        // name of the lease in Redis
	leaseTTL     = 15 * time.Second // after which another worker takes over from a killed one
	// maxPasses bounds the passes over all users. A further pass finds users whose list was
	// generated meanwhile by a worker that did not yet serve the new set.
	maxPasses = 3
	scanPause = 10 * time.Millisecond // between pages, to limit the load of a large Redis
)

// refreshInBackground requests new lists for active users after each change of the serving set. A
// further change cancels the refresh in progress and starts the next one.
func (r *run) refreshInBackground(ctx context.Context) error {
	if r.cfg.RefreshRate <= 0 {
		return nil
	}
	var set *servingSet
	select {
	case <-ctx.Done():
		return ctx.Err()
	case set = <-r.activated:
	}
	for {
		refreshCtx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.refreshFor(refreshCtx, set)
		}()
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case set = <-r.activated:
		}
		cancel()
		<-ended
		if err != nil {
			return err
		}
	}
}

// refreshFor returns when the background refresh for a set is complete, by this or another worker,
// or ctx ends. A worker that takes over rescans all users and skips those that are already
// refreshed: no cursor is stored.
func (r *run) refreshFor(ctx context.Context, set *servingSet) {
	for {
		done, err := r.tryRefresh(ctx, set)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil {
			r.cfg.Logger.WarnContext(ctx, "background refresh interrupted; retrying", "serving", set.String(), "err", err)
		}
		if backoff.Sleep(ctx, r.activationDelay()) != nil {
			return
		}
	}
}

// activationDelay is an upper bound of the time until all workers serve a new set.
func (r *run) activationDelay() time.Duration { return 10 * r.cfg.PollModels }

// tryRefresh runs the background refresh if no other worker has the lease.
func (r *run) tryRefresh(ctx context.Context, set *servingSet) (done bool, err error) {
	if done, err = r.isRefreshed(ctx, set); done || err != nil {
		return done, err
	}
	lease, err := r.sessions.Acquire(ctx, refreshLease, leaseTTL)
	if lease == nil || err != nil {
		return false, err
	}
	defer func() {
		releaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, lease.Release(releaseCtx))
	}()
	if done, err = r.isRefreshed(ctx, set); done || err != nil {
		return done, err // the previous holder of the lease has completed it
	}
	b := &backgroundRefresh{run: r, set: set, lease: lease, limiter: rate.NewLimiter(rate.Limit(r.cfg.RefreshRate), max(1, r.cfg.RefreshRate/10))}
	total, err := b.passes(ctx)
	r.cfg.Logger.InfoContext(ctx, "requested new lists for active users", "serving", set.String(), "users", total, "err", err)
	if err != nil {
		return false, err
	}
	return true, r.sessions.SetRefreshed(ctx, set.String())
}

func (r *run) isRefreshed(ctx context.Context, set *servingSet) (bool, error) {
	refreshed, err := r.sessions.Refreshed(ctx)
	return refreshed == set.String(), err
}

// backgroundRefresh is a background refresh by the worker that holds the lease.
type backgroundRefresh struct {
	*run
	set        *servingSet
	lease      *sessions.Lease
	limiter    *rate.Limiter
	extended   time.Time // when the lease was last extended
	lagChecked time.Time // when the lag was last found to be small
}

var errLeaseLost = errors.New("another worker has taken over")

// passes scans all users up to maxPasses times, until a pass finds none to refresh.
func (b *backgroundRefresh) passes(ctx context.Context) (total int64, err error) {
	for range maxPasses {
		requested, err := b.pass(ctx)
		total += requested
		if err != nil || requested == 0 {
			return total, err
		}
		if err := b.sleep(ctx, b.activationDelay()); err != nil {
			return total, err
		}
	}
	return total, nil
}

// pass requests a list for each active user whose list is of another version than the one that
// serves the user.
func (b *backgroundRefresh) pass(ctx context.Context) (requested int64, err error) {
	since := time.Now().Add(-b.cfg.ActiveFor)
	err = b.sessions.ScanActive(ctx, since, func(page []sessions.ActiveUser) error {
		var users []string
		for _, u := range page {
			if u.Version != b.set.versionFor(u.User) {
				users = append(users, u.User)
			}
		}
		n, err := b.publish(ctx, users)
		requested += n
		if err == nil {
			err = b.sleep(ctx, scanPause)
		}
		return err
	})
	return requested, err
}

// publish publishes a refresh for each user, at the configured rate.
func (b *backgroundRefresh) publish(ctx context.Context, users []string) (published int64, err error) {
	for len(users) > 0 {
		n := min(len(users), b.limiter.Burst())
		if err := b.limiter.WaitN(ctx, n); err != nil {
			return published, err
		}
		if err := b.awaitSmallLag(ctx); err != nil {
			return published, err
		}
		messages := make([]kafka.Message, n)
		for i, user := range users[:n] {
			if messages[i], err = (stream.Refresh{User: user}).Message(); err != nil {
				return published, err
			}
		}
		if err := stream.Publish(ctx, b.cfg.Logger, b.refreshes, messages...); err != nil {
			return published, err
		}
		published += int64(n)
		b.counters.backgroundRefreshes.Add(int64(n))
		users = users[n:]
	}
	return published, nil
}

// awaitSmallLag waits until the lag of the consumer group is at most the refreshes of a second and
// a batch, so that background refreshes never accumulate before those of events. It checks the
// lag once per second.
func (b *backgroundRefresh) awaitSmallLag(ctx context.Context) error {
	for time.Since(b.lagChecked) > time.Second {
		var lag int64
		err := backoff.Retry(ctx, b.cfg.Logger, "read the lag of refreshes", func() (err error) {
			lag, err = stream.Lag(ctx, b.cfg.Kafka, b.cfg.Group, b.cfg.Topics.Refreshes)
			return err
		})
		if err != nil {
			return err
		}
		if lag <= int64(b.cfg.RefreshRate+minBatch) {
			b.lagChecked = time.Now()
			break
		}
		if err := b.sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return b.keepLease(ctx)
}

// sleep sleeps and keeps the lease.
func (b *backgroundRefresh) sleep(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ; {
		if err := b.keepLease(ctx); err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := backoff.Sleep(ctx, min(left, leaseTTL/3)); err != nil {
			return err
		}
	}
}

// keepLease extends the lease after a third of its TTL.
func (b *backgroundRefresh) keepLease(ctx context.Context) error {
	if time.Since(b.extended) < leaseTTL/3 {
		return nil
	}
	now := time.Now()
	held, err := b.lease.Extend(ctx)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("refresh active users: %w", errLeaseLost)
	}
	b.extended = now
	return nil
}
