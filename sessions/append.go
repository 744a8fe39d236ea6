package sessions

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// longSequence is when a stored sequence is extended in place, as append.lua says.
const longSequence = 1024

// appendNewer appends, in a transaction, events that are new and newer than what the sequences
// of their users hold, where none falls out of the window. It returns the users who are left.
func (s *Store) appendNewer(ctx context.Context, entries [][]userstate.Entry, appended []Appended) (left []int, err error) {
	n := len(entries)
	keys := make([]string, 2*n) // sequences, then erasures
	for i, a := range appended {
		keys[i], keys[n+i] = s.keys.Sequence(a.User), s.keys.Erasure(a.User)
	}
	var stored *redis.SliceCmd
	extended := make([]Appended, n)
	read := func(pipe redis.Pipeliner) { stored = pipe.MGet(ctx, keys...) }
	write := func(tx redis.Pipeliner) {
		seen := make(map[string]bool, n)
		for i := range entries {
			e, ok, again := extension{}, false, seen[keys[i]]
			seen[keys[i]] = true
			if !again && stored.Err() == nil && stored.Val()[n+i] == nil {
				sequence, _ := stored.Val()[i].(string)
				e, ok = extend(sequence, entries[i], s.opts.Window)
			}
			if !ok {
				left = append(left, i)
				continue
			}
			extended[i] = Appended{User: appended[i].User, Version: e.version, Added: len(entries[i])}
			s.queue(ctx, tx, keys[i], e)
		}
	}
	// Forget deletes the sequence: to watch the sequences is enough for users who have one.
	committed, err := s.transact(ctx, keys[:n], read, write)
	if err != nil || !committed {
		return allOf(n), err
	}
	for _, i := range left {
		extended[i].User = appended[i].User
	}
	copy(appended, extended)
	return left, nil
}

func (s *Store) queue(ctx context.Context, tx redis.Pipeliner, key string, e extension) {
	if e.at == 0 {
		tx.Set(ctx, key, e.text, s.opts.SequenceTTL)
		return
	}
	tx.SetRange(ctx, key, e.at, e.text)
	if s.opts.SequenceTTL > 0 {
		tx.PExpire(ctx, key, s.opts.SequenceTTL)
	} else {
		tx.Persist(ctx, key)
	}
}

// extension is what to write to a sequence: text at an offset, 0 for all of it.
type extension struct {
	at      int64
	text    string
	version int64
}

// extend is append.lua for entries of which each is new and no older than the one before,
// and which fit into the window. It returns false for all others, and for a sequence that is
// missing or unreadable.
func extend(stored string, entries []userstate.Entry, window int) (e extension, ok bool) {
	all, f, err := userstate.CutFooter(stored)
	size := int64(len(all))
	if err != nil || f.Count < 1 || f.Evicted >= size || userstate.ParseTime(f.Newest) < 0 || len(entries) == 0 {
		return e, false
	}
	if f.Count += int64(len(entries)); f.Count > int64(window) {
		return e, false
	}
	known := all[f.Evicted:]
	var tail strings.Builder
	for _, added := range entries {
		if added.Time() < f.Newest || strings.Contains(known, added.Key) || strings.Contains(tail.String(), added.Key) {
			return e, false
		}
		tail.WriteString(added.Key)
		tail.WriteString(added.Rest)
		f.Newest = added.Time()
	}
	f.Version += int64(len(entries))
	if size >= longSequence && 4*f.Evicted <= size {
		e.at, known = size, ""
	} else {
		f.Evicted = 0
	}
	e.version, e.text = f.Version, known+tail.String()+f.Encode()
	return e, true
}
