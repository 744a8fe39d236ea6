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

// Renewals is what it takes to renew active users by one worker of all.
type Renewals interface {
	ScanActive(ctx context.Context, since time.Time, fn func([]sessions.ActiveUser) error) error
	Acquire(ctx context.Context, lease string, lasts time.Duration) (*sessions.Lease, error)
	Refreshed(ctx context.Context) (serving string, err error)
	SetRefreshed(ctx context.Context, serving string) error
}

const (
	renewalLease = "renewal"
	leaseLasts   = 15 * time.Second // then another worker takes over from one that was killed
	// A pass finds whom the one before had answered by a worker that did not serve the new
	// models yet. It has an end also if one never will.
	renewalPasses = 3
	scanPause     = 10 * time.Millisecond // between pages, so that a large Redis is not kept busy
)

// announce tells renew what is served now.
func (r *run) announce(f *servingSet) {
	select {
	case <-r.swapped: // it has not begun with the one before
	default:
	}
	r.swapped <- f
}

// renew asks, after each change of models, for new recommendations for the active users
// whose list is of another one. A further change ends it, and begins it anew.
func (r *run) renew(ctx context.Context) error {
	if r.cfg.RefreshRate <= 0 {
		return nil
	}
	var serving *servingSet
	select {
	case <-ctx.Done():
		return ctx.Err()
	case serving = <-r.swapped:
	}
	for {
		renewCtx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.renewFor(renewCtx, serving)
		}()
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case serving = <-r.swapped:
		}
		cancel()
		<-ended
		if err != nil {
			return err
		}
	}
}

// renewFor returns when the users are renewed, by this worker or another one, or ctx ends.
// A worker that takes over begins anew: who has been renewed is not renewed again.
func (r *run) renewFor(ctx context.Context, serving *servingSet) {
	for {
		done, err := r.tryRenew(ctx, serving)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil {
			r.cfg.Logger.WarnContext(ctx, "renewing users was interrupted", "serving", serving.String(), "err", err)
		}
		if backoff.Sleep(ctx, r.everybodyHasLooked()) != nil {
			return
		}
	}
}

// everybodyHasLooked is how long workers may take to serve new models.
func (r *run) everybodyHasLooked() time.Duration { return 10 * r.cfg.PollModels }

func (r *run) tryRenew(ctx context.Context, serving *servingSet) (done bool, err error) {
	if done, err = r.isRenewed(ctx, serving); done || err != nil {
		return done, err
	}
	lease, err := r.sessions.Acquire(ctx, renewalLease, leaseLasts)
	if lease == nil || err != nil {
		return false, err
	}
	defer func() {
		releaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
		defer cancel()
		err = errors.Join(err, lease.Release(releaseCtx))
	}()
	if done, err = r.isRenewed(ctx, serving); done || err != nil {
		return done, err // another worker had the lease until now
	}
	p := &renewal{run: r, serving: serving, lease: lease, limit: rate.NewLimiter(rate.Limit(r.cfg.RefreshRate), max(1, r.cfg.RefreshRate/10))}
	total, err := p.passes(ctx)
	r.cfg.Logger.InfoContext(ctx, "asked for recommendations of active users by the new models", "serving", serving.String(), "users", total, "err", err)
	if err != nil {
		return false, err
	}
	return true, r.sessions.SetRefreshed(ctx, serving.String())
}

func (r *run) isRenewed(ctx context.Context, serving *servingSet) (bool, error) {
	renewed, err := r.sessions.Refreshed(ctx)
	return renewed == serving.String(), err
}

// renewal is the work of who has the lease.
type renewal struct {
	*run
	serving *servingSet
	lease   *sessions.Lease
	limit   *rate.Limiter
	held    time.Time // when the lease was last known to be
	looked  time.Time // at how many wait
}

var errLeaseLost = errors.New("another worker has taken over")

func (p *renewal) passes(ctx context.Context) (total int64, err error) {
	for pass := 0; pass < renewalPasses; pass++ {
		asked, err := p.pass(ctx)
		total += asked
		if err != nil || asked == 0 {
			return total, err
		}
		if err := p.await(ctx, p.everybodyHasLooked()); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (p *renewal) pass(ctx context.Context) (asked int64, err error) {
	since := time.Now().Add(-p.cfg.ActiveFor)
	err = p.sessions.ScanActive(ctx, since, func(page []sessions.ActiveUser) error {
		var users []string
		for _, a := range page {
			if a.Version != p.serving.versionFor(a.User) {
				users = append(users, a.User)
			}
		}
		n, err := p.ask(ctx, users)
		asked += n
		if err == nil {
			err = p.await(ctx, scanPause)
		}
		return err
	})
	return asked, err
}

// ask publishes a refresh for each of the users, no faster than it should.
func (p *renewal) ask(ctx context.Context, users []string) (asked int64, err error) {
	for len(users) > 0 {
		n := min(len(users), p.limit.Burst())
		if err := p.limit.WaitN(ctx, n); err != nil {
			return asked, err
		}
		if err := p.awaitRoom(ctx); err != nil {
			return asked, err
		}
		messages := make([]kafka.Message, n)
		for i, user := range users[:n] {
			if messages[i], err = (stream.Refresh{User: user}).Message(); err != nil {
				return asked, err
			}
		}
		if err := stream.Publish(ctx, p.cfg.Logger, p.renewals, messages...); err != nil {
			return asked, err
		}
		asked += int64(n)
		p.counters.renewed.Add(int64(n))
		users = users[n:]
	}
	return asked, nil
}

// awaitRoom returns when no more refreshes wait than a second's and a batch of these, so
// that they never gather in front of those of events. It looks once a second.
func (p *renewal) awaitRoom(ctx context.Context) error {
	for time.Since(p.looked) > time.Second {
		var lag int64
		err := backoff.Retry(ctx, p.cfg.Logger, "look up how many refreshes wait", func() (err error) {
			lag, err = stream.Lag(ctx, p.cfg.Kafka, p.cfg.Group, p.cfg.Topics.Refreshes)
			return err
		})
		if err != nil {
			return err
		}
		if lag <= int64(p.cfg.RefreshRate+leastBatch) {
			p.looked = time.Now()
			break
		}
		if err := p.await(ctx, time.Second); err != nil {
			return err
		}
	}
	return p.hold(ctx)
}

// await sleeps, and keeps the lease.
func (p *renewal) await(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ; {
		if err := p.hold(ctx); err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := backoff.Sleep(ctx, min(left, leaseLasts/3)); err != nil {
			return err
		}
	}
}

// hold extends the lease when a third of its time is over.
func (p *renewal) hold(ctx context.Context) error {
	if time.Since(p.held) < leaseLasts/3 {
		return nil
	}
	now := time.Now()
	held, err := p.lease.Extend(ctx)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("renew active users: %w", errLeaseLost)
	}
	p.held = now
	return nil
}
