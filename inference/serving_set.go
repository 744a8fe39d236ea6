package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"genrec/pkg/registry"
)

// servingSet is an immutable set of models that serve side by side.
type servingSet struct {
	shares         []registry.Share     // as configured in the registry
	models         map[string]Generator // the loaded ones
	leader         string               // the loaded version with the largest share
	recentVersions []string             // versions that serve or served recently, newest last: events credit them
	slots          chan struct{}        // semaphore of the batches being read or generated
	batches        sync.WaitGroup       // batches that use the models
}

func newServingSet(shares []registry.Share, models map[string]Generator, recentVersions []string) *servingSet {
	s := &servingSet{shares: shares, models: models, recentVersions: recentVersions}
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

// versionFor returns the version that serves a user. The leader stands in for versions that could
// not be loaded.
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

// String formats the shares. The background refresh stores it to identify a serving set.
func (s *servingSet) String() string {
	parts := make([]string, len(s.shares))
	for i, share := range s.shares {
		parts[i] = fmt.Sprintf("%s:%d", share.Version, share.Percent)
	}
	return strings.Join(parts, " ")
}

// activeSet holds the serving set of new batches.
type activeSet struct {
	first chan struct{} // closed when the first set is activated

	mu  sync.Mutex
	set *servingSet
}

func newActiveSet() *activeSet { return &activeSet{first: make(chan struct{})} }

// acquire returns the active set for a batch, which must call batches.Done at its end. It waits
// for the first set.
func (s *activeSet) acquire(ctx context.Context) (*servingSet, error) {
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

// swap replaces the active set, by nil at the end, and returns the previous one, if any. Batches
// that have acquired the previous set keep using it.
func (s *activeSet) swap(next *servingSet) (previous *servingSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	previous, s.set = s.set, next
	if previous == nil && next != nil {
		close(s.first)
	}
	return previous
}

// activate makes next the active set, between two batches, and closes the models that only the
// previous set has, after the last batch that uses them.
func (r *run) activate(ctx context.Context, next *servingSet) error {
	previous := r.active.swap(next)
	err := r.afterActivation(ctx, previous, next)
	if previous != nil {
		previous.batches.Wait() // batches end with ctx at the latest
		r.closeModels(ctx, previous, next)
	}
	return err
}

// afterActivation writes the popular items of a new leader, and notifies the goroutines that
// write its similar items and refresh active users.
func (r *run) afterActivation(ctx context.Context, previous, next *servingSet) error {
	r.counters.swaps.Add(1)
	r.cfg.Logger.InfoContext(ctx, "activated model versions", "version", next.String())
	if previous != nil {
		for _, version := range previous.recentVersions {
			if !slices.Contains(next.recentVersions, version) {
				r.metrics.forgetVersion(version)
			}
		}
	}
	r.metrics.setShares(next)
	if previous == nil || next.leader != previous.leader {
		l := newLeader(next.models[next.leader])
		if err := r.putPopular(ctx, l.popular); err != nil {
			return err
		}
		sendNewest(r.leaders, l)
	}
	sendNewest(r.activated, next)
	return nil
}

// maxRecentVersions bounds the versions that events may credit: their lists may still be displayed
// after the versions were replaced.
const maxRecentVersions = 16

// rememberVersions appends the serving versions to the recent ones.
func rememberVersions(recent []string, serving ...string) []string {
	slices.Sort(serving)
	recent = slices.DeleteFunc(slices.Clone(recent), func(v string) bool { return slices.Contains(serving, v) })
	recent = append(recent, serving...)
	return recent[max(0, len(recent)-maxRecentVersions):]
}

// closeModels closes the models of a set that next, which may be nil, does not have.
func (r *run) closeModels(ctx context.Context, s, next *servingSet) {
	for version, model := range s.models {
		if next == nil || next.models[version] != model {
			r.closeModel(ctx, model)
		}
	}
}
