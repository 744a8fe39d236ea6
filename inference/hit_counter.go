package inference

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// versionHits counts the events after a list, for the version that generated it.
type versionHits struct {
	version            string
	interactions, hits int64
}

// countHits counts the events since a list that is being replaced. Each event counts once, for
// the version of the list, and is a hit if its item is in the list. An event with a rec_id of a
// version that serves or served recently is instead a hit of that version.
func countHits(replaced userstate.List, s sessions.Sequence, recentVersions []string) (all []versionHits) {
	since := min(s.Version-replaced.SequenceVersion, int64(len(s.Interactions)))
	if replaced.Source != userstate.SourceModel || since <= 0 {
		return nil
	}
	for _, i := range s.Interactions[len(s.Interactions)-int(since):] {
		version := replaced.ModelVersion
		hit := slices.ContainsFunc(replaced.Items, func(r userstate.ScoredItem) bool { return r.Item == i.Item })
		if i.Credited != "" && (i.Credited == version || slices.Contains(recentVersions, i.Credited)) {
			version, hit = i.Credited, true
		}
		at := slices.IndexFunc(all, func(c versionHits) bool { return c.version == version })
		if at < 0 {
			at, all = len(all), append(all, versionHits{version: version})
		}
		all[at].interactions++
		if hit {
			all[at].hits++
		}
	}
	return all
}

// hitCounter accumulates counts between two flushes.
type hitCounter struct {
	mu      sync.Mutex
	tallies map[tallyKey]*tally
}

type tallyKey struct{ version, day string }

type tally struct {
	interactions, hits int64
	users              map[uint64]struct{} // hashes of user ids
}

// maxTallyUsers bounds the memory of a tally. Further users are missing in the number of users.
const maxTallyUsers = 1 << 18

func (h *hitCounter) add(now time.Time, user string, counts []versionHits) {
	if len(counts) == 0 {
		return
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(user)) // never fails
	day := sessions.Day(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range counts {
		key := tallyKey{version: c.version, day: day}
		t := h.tallies[key]
		if t == nil {
			t = &tally{users: make(map[uint64]struct{})}
			h.tallies[key] = t
		}
		t.interactions += c.interactions
		t.hits += c.hits
		if len(t.users) < maxTallyUsers {
			t.users[hash.Sum64()] = struct{}{}
		}
	}
}

// drain returns and clears the tallies.
func (h *hitCounter) drain() (drained []sessions.HitCounts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, t := range h.tallies {
		drained = append(drained, sessions.HitCounts{
			Version: key.version, Day: key.day, Interactions: t.interactions, Hits: t.hits,
			Users: slices.Collect(maps.Keys(t.users)),
		})
	}
	clear(h.tallies)
	return drained
}

// flushInterval bounds the counts that are lost if the process is killed.
const flushInterval = 5 * time.Second

// flushHits periodically writes the hit counts to Redis.
func (r *run) flushHits(ctx context.Context) error {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := r.writeHits(ctx); err != nil {
			return err
		}
	}
}

// shutdownTimeout bounds writes to Redis at the end of Run.
const shutdownTimeout = 5 * time.Second

// flushHitsAtEnd writes the remaining hit counts after ctx has ended and the pipeline stopped.
func (r *run) flushHitsAtEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return r.writeHits(ctx)
}

func (r *run) writeHits(ctx context.Context) error {
	r.unwritten = append(r.unwritten, r.hits.drain()...)
	for len(r.unwritten) > 0 {
		err := backoff.Retry(ctx, r.cfg.Logger, "write hit counts", func() error {
			return r.sessions.AddHits(ctx, r.unwritten[0])
		})
		if err != nil {
			return err
		}
		r.unwritten = r.unwritten[1:]
	}
	return nil
}
