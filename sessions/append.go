package sessions

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// longSequence is when a stored sequence is extended in place, as append.lua says.
const longSequence = 1024

// appendNewer appends, in a transaction, events that are new and newer than what the sequences
// of their users hold, where none falls out of the window. It returns the users who are left.
func (s *Store) appendNewer(ctx context.Context, entries [][]entry, appended []Appended) (left []int, err error) {
	n := len(entries)
	keys := make([]string, 2*n) // sequences, then erasures
	for i, a := range appended {
		keys[i], keys[n+i] = s.keys.Sequence(a.User), s.erasureKey(a.User)
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
func extend(stored string, entries []entry, window int) (e extension, ok bool) {
	all, f, err := cutFooter(stored)
	size := int64(len(all))
	if err != nil || f.count < 1 || f.skipped >= size || parseDigits(f.newest, timeBase) < 0 || len(entries) == 0 {
		return e, false
	}
	if f.count += int64(len(entries)); f.count > int64(window) {
		return e, false
	}
	known := all[f.skipped:]
	var tail strings.Builder
	for _, added := range entries {
		// Times have one width, and digits come before letters: their texts compare as they do.
		at := added.rest[:timeWidth]
		if at < f.newest || strings.Contains(known, added.id) || strings.Contains(tail.String(), added.id) {
			return e, false
		}
		tail.WriteString(added.id)
		tail.WriteString(added.rest)
		f.newest = at
	}
	e.version = f.version + int64(len(entries))
	if size >= longSequence && 4*f.skipped <= size {
		e.at, known = size, ""
	} else {
		f.skipped = 0
	}
	e.text = known + tail.String() + fmt.Sprintf("%08x%03x%06x", e.version, f.count, f.skipped) + f.newest
	return e, true
}
