// Package playground is a page to try a recommender with: become a user, click items, and
// watch what is recommended, how fresh it is, and how a training goes.
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

// Reader reads what is told of items, and which are popular. *recs.Client is one.
type Reader interface {
	Metadata(ctx context.Context, ids []string) (map[string]recs.Metadata, error)
	Popular(ctx context.Context) (recs.List, error)
}

// Sessions reads what users did. *sessions.Store is one.
type Sessions interface {
	Sequences(ctx context.Context, users []string) ([]sessions.Sequence, error)
	ScanActive(ctx context.Context, since time.Time, fn func([]sessions.ActiveUser) error) error
}

// Config configures a Playground.
type Config struct {
	Reader   Reader
	Sessions Sessions
	// Train makes a model and says what came of it; nil: the page has no button for that.
	Train  func(ctx context.Context) (outcome string, err error)
	Logger *slog.Logger
}

// Playground gathers what the page shows.
type Playground struct {
	cfg     Config
	turn    chan struct{} // held by the training that runs
	wanted  chan struct{} // that the page has asked for, and has the turn
	stopped chan struct{} // closed when Run ends

	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
	feed        feed
	training    training
	status      string
}

// New returns a playground; Run brings it to life.
func New(cfg Config) *Playground {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Playground{
		cfg: cfg, turn: make(chan struct{}, 1), wanted: make(chan struct{}, 1), stopped: make(chan struct{}),
		subscribers: make(map[*subscriber]struct{}),
	}
}

const (
	pulse        = time.Second     // of the figures, and of streams on which nothing happens
	popularEvery = 5 * time.Second // popular items are read
	activeFor    = 7 * 24 * time.Hour
)

// Run works until ctx ends, and ends the streams then. It is called once.
func (p *Playground) Run(ctx context.Context) error {
	var trainings sync.WaitGroup
	defer trainings.Wait()
	defer close(p.stopped)
	p.findPeople(ctx)
	p.readPopular(ctx)
	beat, popular := time.NewTicker(pulse), time.NewTicker(popularEvery)
	defer beat.Stop()
	defer popular.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-beat.C:
			p.mu.Lock()
			p.feed.beat(now)
			p.broadcast("figures", p.feed.figures())
			p.mu.Unlock()
		case <-popular.C:
			p.readPopular(ctx)
		case <-p.wanted:
			trainings.Go(func() {
				defer p.endTurn()
				if err := p.train(ctx, p.cfg.Train); err != nil && ctx.Err() == nil {
					p.cfg.Logger.ErrorContext(ctx, "a training that the page asked for has failed, the current model goes on", "err", err)
				}
			})
		}
	}
}

// Say shows what goes on, in a line.
func (p *Playground) Say(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	p.broadcast("status", status)
}

func (p *Playground) readPopular(ctx context.Context) {
	list, err := p.cfg.Reader.Popular(ctx)
	if err != nil {
		p.cfg.Logger.DebugContext(ctx, "the popular items of the page are not renewed", "err", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed.popular = ids(list)
	p.feed.version = cmp.Or(p.feed.version, list.ModelVersion)
}

var errEnough = errors.New("enough")

// findPeople looks for some who were active before the page began.
func (p *Playground) findPeople(ctx context.Context) {
	err := p.cfg.Sessions.ScanActive(ctx, time.Now().Add(-activeFor), func(page []sessions.ActiveUser) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, active := range page {
			if len(p.feed.people) >= maxPeople {
				return errEnough
			}
			p.feed.people = recent(p.feed.people, active.User, maxPeople)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		p.cfg.Logger.DebugContext(ctx, "the page knows no people yet", "err", err)
	}
}
