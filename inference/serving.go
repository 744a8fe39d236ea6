package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// servingSet is the models that serve, side by side. It does not change: another one takes its
// place.
type servingSet struct {
	shares   []registry.Share     // as they are wanted
	models   map[string]Generator // those of them that could be loaded
	leader   string               // of the loaded ones, that with the largest share
	credited []string             // versions whose recommendations are credited with events, newest last
	slots    chan struct{}        // filled by batches that are being read or generated
	batches  sync.WaitGroup       // that use the models
}

func newServingSet(shares []registry.Share, models map[string]Generator, credited []string) *servingSet {
	s := &servingSet{shares: shares, models: models, credited: credited}
	var loaded []registry.Share
	for _, share := range shares {
		if models[share.Version] != nil {
			loaded = append(loaded, share)
		}
	}
	s.leader = registry.LargestShare(loaded)
	concurrency := 1
	for _, model := range models {
		concurrency = max(concurrency, model.Concurrency())
	}
	s.slots = make(chan struct{}, concurrency)
	return s
}

// versionFor says which model serves a user: their own, or the leader in place of one that
// could not be loaded.
func (s *servingSet) versionFor(user string) string {
	if len(s.models) == 1 {
		return s.leader
	}
	version := registry.VersionFor(s.shares, user)
	if s.models[version] == nil {
		return s.leader
	}
	return version
}

// String names what is served, and that is also how a change is known again.
func (s *servingSet) String() string {
	parts := make([]string, len(s.shares))
	for i, share := range s.shares {
		parts[i] = fmt.Sprintf("%s:%d", share.Version, share.Percent)
	}
	return strings.Join(parts, " ")
}

// serving is the set that is in use.
type serving struct {
	first chan struct{} // closed when there is one

	mu  sync.Mutex
	set *servingSet
}

func newServing() *serving { return &serving{first: make(chan struct{})} }

// acquire returns the set for a batch, which must call batches.Done at its end. It waits for
// the first set.
func (s *serving) acquire(ctx context.Context) (*servingSet, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.first:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		return nil, errStopped
	}
	s.set.batches.Add(1)
	return s.set, nil
}

var errStopped = errors.New("the worker is stopping")

// swap puts another set to use, nil for none any more, and returns the one before, if any:
// batches that have acquired it go on with it, and no further ones acquire it.
func (s *serving) swap(next *servingSet) (before *servingSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.set = s.set, next
	if before == nil && next != nil {
		close(s.first)
	}
	return before
}

// swap puts next to use, between two batches, and closes the models that it does not have
// when the last batch that uses them is written.
func (r *run) swap(ctx context.Context, next *servingSet) error {
	before := r.serving.swap(next)
	err := r.activated(ctx, before, next)
	if before != nil {
		before.batches.Wait() // they end with ctx at the latest
		r.closeModels(ctx, before, next)
	}
	return err
}

// activated publishes the fallback of a set that has just been put to use, and has the
// users renewed.
func (r *run) activated(ctx context.Context, before, next *servingSet) error {
	r.counters.swaps.Add(1)
	r.cfg.Logger.InfoContext(ctx, "swapped to model", "version", next.String())
	if before != nil {
		for _, version := range before.credited {
			if !slices.Contains(next.credited, version) {
				r.metrics.forget(version)
			}
		}
	}
	r.metrics.serves(next)
	if before == nil || next.leader != before.leader {
		l := newLeader(next.models[next.leader])
		if err := r.putPopular(ctx, l.popular); err != nil {
			return err
		}
		r.lead(l)
	}
	r.announce(next)
	return nil
}

func newLeader(model Generator) leader {
	return leader{near: model.Near(), popular: userstate.List{
		RecID:        userstate.NewRecID(""), // of no version: nobody is credited
		ModelVersion: model.Version(),
		GeneratedAt:  time.Now(),
		Source:       userstate.SourcePopular,
		Items:        model.Popular(),
	}}
}

func (r *run) putPopular(ctx context.Context, popular userstate.List) error {
	return backoff.Retry(ctx, r.cfg.Logger, "write the popular items", func() error {
		return r.sessions.PutPopular(ctx, popular)
	})
}

// creditedVersions is how many versions are remembered after they served: events name them
// while their lists are still shown somewhere.
const creditedVersions = 16

// credit adds versions that serve to those that served, as the newest.
func credit(served []string, versions ...string) []string {
	slices.Sort(versions)
	served = slices.DeleteFunc(slices.Clone(served), func(v string) bool { return slices.Contains(versions, v) })
	served = append(served, versions...)
	return served[max(0, len(served)-creditedVersions):]
}

// closeModels closes those of a set that another one, which may be nil, does not have.
func (r *run) closeModels(ctx context.Context, s, next *servingSet) {
	for version, model := range s.models {
		if next == nil || next.models[version] != model {
			r.closeModel(ctx, model)
		}
	}
}
