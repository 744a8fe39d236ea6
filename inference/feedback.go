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

// feedbackCount counts the events after a list, for the version that generated it.
type feedbackCount struct {
	version            string
	interactions, hits int64
}

// countFeedback counts the events since a list that is being replaced. Each event counts once, for
// the version of the list, and is a hit if its item is in the list. An event with a rec_id of a
// version that serves or served recently is instead a hit of that version.
func countFeedback(replaced userstate.List, s sessions.Sequence, recentVersions []string) (all []feedbackCount) {
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
		at := slices.IndexFunc(all, func(c feedbackCount) bool { return c.version == version })
		if at < 0 {
			at, all = len(all), append(all, feedbackCount{version: version})
		}
		all[at].interactions++
		if hit {
			all[at].hits++
		}
	}
	return all
}

// feedback accumulates counts between two flushes.
type feedback struct {
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

func (f *feedback) add(now time.Time, user string, counts []feedbackCount) {
	if len(counts) == 0 {
		return
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(user)) // never fails
	day := sessions.Day(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range counts {
		key := tallyKey{version: c.version, day: day}
		t := f.tallies[key]
		if t == nil {
			t = &tally{users: make(map[uint64]struct{})}
			f.tallies[key] = t
		}
		t.interactions += c.interactions
		t.hits += c.hits
		if len(t.users) < maxTallyUsers {
			t.users[hash.Sum64()] = struct{}{}
		}
	}
}

// drain returns and clears the tallies.
func (f *feedback) drain() (drained []sessions.Feedback) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, t := range f.tallies {
		drained = append(drained, sessions.Feedback{
			Version: key.version, Day: key.day, Interactions: t.interactions, Hits: t.hits,
			Users: slices.Collect(maps.Keys(t.users)),
		})
	}
	clear(f.tallies)
	return drained
}

// flushInterval bounds the counts that are lost if the process is killed.
const flushInterval = 5 * time.Second

// flushFeedback periodically writes the feedback to Redis.
func (r *run) flushFeedback(ctx context.Context) error {
	tick := time.NewTicker(flushInterval)
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

// shutdownTimeout bounds writes to Redis at the end of Run.
const shutdownTimeout = 5 * time.Second

// flushFeedbackAtEnd writes the remaining feedback after ctx has ended and the pipeline stopped.
func (r *run) flushFeedbackAtEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return r.writeFeedback(ctx)
}

func (r *run) writeFeedback(ctx context.Context) error {
	r.unwritten = append(r.unwritten, r.feedback.drain()...)
	for len(r.unwritten) > 0 {
		err := backoff.Retry(ctx, r.cfg.Logger, "write feedback counts", func() error {
			return r.sessions.AddFeedback(ctx, r.unwritten[0])
		})
		if err != nil {
			return err
		}
		r.unwritten = r.unwritten[1:]
	}
	return nil
}
