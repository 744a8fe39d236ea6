// Package playground serves a web page for trying out a recommender: act as a user, click
// items, and watch the recommendations, their freshness and a training run.
//
// A [Playground] keeps the state of the page in memory: recent activity (feed.go), the current
// training (training.go) and the open pages, which it updates by server-sent events (stream.go).
// The inference worker reports each list that it writes through Written; trainings report through
// Train and Progress. Everything else that the page needs, it reads from Redis or asks of the
// HTTP API that [Playground.Around] wraps: clicks, for instance, are ordinary events sent to
// POST /v1/events. The package knows neither the worker nor the trainer.
package playground

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"genrec/pkg/recs"
	"genrec/sessions"
)

// Reader reads item metadata and the popular items. *recs.Client implements it.
type Reader interface {
	Metadata(ctx context.Context, ids []string) (map[string]recs.Metadata, error)
	Popular(ctx context.Context) (recs.List, error)
}

// Sessions reads user sequences. *sessions.Store implements it.
type Sessions interface {
	Sequences(ctx context.Context, users []string) ([]sessions.Sequence, error)
	ScanActive(ctx context.Context, since time.Time, fn func([]sessions.ActiveUser) error) error
}

// Config configures a Playground.
type Config struct {
	Reader   Reader   // reads lists and item data
	Sessions Sessions // reads user sequences
	// Train trains a model and returns its outcome as a sentence for the page. If it is nil,
	// the page has no button for training.
	Train  func(ctx context.Context) (outcome string, err error)
	Logger *slog.Logger // default: slog.Default()
}

// Playground holds the state of the page and its open streams. It is safe for concurrent use.
type Playground struct {
	cfg       Config
	trainLock chan struct{} // a semaphore: full while a training runs
	requested chan struct{} // a training requested on the page, which holds trainLock
	stopped   chan struct{} // closed when Run returns

	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
	feed        feed
	training    training
	status      string
}

// New returns a Playground. Its streams and figures are updated while Run runs.
func New(cfg Config) *Playground {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Playground{
		cfg: cfg, trainLock: make(chan struct{}, 1), requested: make(chan struct{}, 1), stopped: make(chan struct{}),
		subscribers: make(map[*subscriber]struct{}),
	}
}

const (
	figuresEvery = time.Second     // also the heartbeat of idle streams
	popularEvery = 5 * time.Second // how often the popular items are read
	activeWithin = 7 * 24 * time.Hour
)

// Run updates the page until ctx ends and then closes the streams. Call it once.
func (p *Playground) Run(ctx context.Context) error {
	var trainings sync.WaitGroup
	defer trainings.Wait()
	defer close(p.stopped)
	p.loadActiveUsers(ctx)
	p.readPopular(ctx)
	figures, popular := time.NewTicker(figuresEvery), time.NewTicker(popularEvery)
	defer figures.Stop()
	defer popular.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-figures.C:
			p.mu.Lock()
			p.feed.tick(now)
			p.broadcast("figures", p.feed.figures())
			p.mu.Unlock()
		case <-popular.C:
			p.readPopular(ctx)
		case <-p.requested:
			trainings.Go(func() {
				defer p.unlockTraining()
				if err := p.train(ctx, p.cfg.Train); err != nil && ctx.Err() == nil {
					p.cfg.Logger.ErrorContext(ctx, "training requested on the page failed; the current model stays in use", "err", err)
				}
			})
		}
	}
}

// SetStatus shows a line of status on the page.
func (p *Playground) SetStatus(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	p.broadcast("status", status)
}

func (p *Playground) readPopular(ctx context.Context) {
	list, err := p.cfg.Reader.Popular(ctx)
	if err != nil {
		p.cfg.Logger.DebugContext(ctx, "read the popular items for the page", "err", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed.popular = itemIDs(list)
	p.feed.version = cmp.Or(p.feed.version, list.ModelVersion)
}

var errEnough = errors.New("enough users")

// loadActiveUsers offers some users who were active before the process started.
func (p *Playground) loadActiveUsers(ctx context.Context) {
	err := p.cfg.Sessions.ScanActive(ctx, time.Now().Add(-activeWithin), func(page []sessions.ActiveUser) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, active := range page {
			if len(p.feed.users) >= maxUsers {
				return errEnough
			}
			p.feed.users = moveToFront(p.feed.users, active.User, maxUsers)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		p.cfg.Logger.DebugContext(ctx, "read active users for the page", "err", err)
	}
}
