package inference

import (
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"genrec/pkg/userstate"
	"genrec/sessions"
)

// answer is what a version's recommendations came to, by the events after them.
type answer struct {
	version            string
	interactions, hits int64
}

// answers says what the recommendations that are replaced came to. Each event since counts
// once, for the version that made them, and is a hit if they had its item; one that names
// recommendations of its own, by a version that serves or did lately, is a hit of those.
func answers(replaced userstate.List, s sessions.Sequence, served []string) (all []answer) {
	since := min(s.Version-replaced.SequenceVersion, int64(len(s.Interactions)))
	if replaced.Source != userstate.SourceModel || since <= 0 {
		return nil
	}
	for _, i := range s.Interactions[len(s.Interactions)-int(since):] {
		version := replaced.ModelVersion
		hit := slices.ContainsFunc(replaced.Items, func(r userstate.ScoredItem) bool { return r.Item == i.Item })
		if i.Credited != "" && (i.Credited == version || slices.Contains(served, i.Credited)) {
			version, hit = i.Credited, true
		}
		at := slices.IndexFunc(all, func(a answer) bool { return a.version == version })
		if at < 0 {
			at, all = len(all), append(all, answer{version: version})
		}
		all[at].interactions++
		if hit {
			all[at].hits++
		}
	}
	return all
}

// feedback gathers answers between two flushes.
type feedback struct {
	mu      sync.Mutex
	tallies map[tallyKey]*tally
}

type tallyKey struct{ version, day string }

type tally struct {
	interactions, hits int64
	users              map[uint64]struct{} // hashes
}

// mostUsers bounds what is remembered between two flushes: who comes after them is left
// out of the number of users.
const mostUsers = 1 << 18

func (f *feedback) add(now time.Time, user string, all []answer) {
	if len(all) == 0 {
		return
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(user)) // never fails
	day := sessions.Day(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range all {
		key := tallyKey{version: a.version, day: day}
		t := f.tallies[key]
		if t == nil {
			t = &tally{users: make(map[uint64]struct{})}
			f.tallies[key] = t
		}
		t.interactions += a.interactions
		t.hits += a.hits
		if len(t.users) < mostUsers {
			t.users[hash.Sum64()] = struct{}{}
		}
	}
}

// take empties the tallies.
func (f *feedback) take() (taken []sessions.Feedback) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, t := range f.tallies {
		taken = append(taken, sessions.Feedback{
			Version: key.version, Day: key.day, Interactions: t.interactions, Hits: t.hits,
			Users: slices.Collect(maps.Keys(t.users)),
		})
	}
	clear(f.tallies)
	return taken
}
