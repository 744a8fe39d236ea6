package sessions

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

// UserEvents are new events of one user in order of arrival.
type UserEvents struct {
	User   string        // ID of the user
	Events []event.Event // as event.Decode returns them
}

// Appended is the result of an append.
type Appended struct {
	User    string // ID of the user
	Version int64  // of the sequence after the append
	Added   int    // events that changed the sequence; the others were duplicates, too old or erased
}

// Append inserts events into the sequences of their users, each sequence atomically. Results are
// in the order of the batch. The common case takes two round trips for the whole batch.
//
// It is idempotent: an event changes nothing if its ID is in the sequence, if it is no newer than
// the oldest event of a full window (it may have been evicted before), or if it is no newer than
// the erasure of its user.
//
// Users with an unreadable sequence are returned together as UserErrors; the events of all others
// are appended nonetheless. After any other error, any part of the batch may have been appended.
func (s *Store) Append(ctx context.Context, batch []UserEvents) ([]Appended, error) {
	action := fmt.Sprintf("append to the sequences of %d users", len(batch))
	entries := make([][]userstate.Entry, len(batch))
	for i, b := range batch {
		var err error
		if entries[i], err = encodeEvents(b); err != nil {
			return nil, err
		}
	}
	appended, remaining := make([]Appended, len(batch)), indices(len(batch))
	for i, b := range batch {
		appended[i].User = b.User
	}
	if s.optimistic() && len(batch) > 0 {
		var err error
		if remaining, err = s.appendNewer(ctx, entries, appended); err != nil {
			return nil, fmt.Errorf("%s: %w", action, err)
		}
	}
	if len(remaining) == 0 {
		return appended, nil
	}
	calls := make([]call, len(remaining))
	for nth, i := range remaining {
		user := batch[i].User
		calls[nth] = call{keys: []string{s.keys.Sequence(user), s.keys.Erasure(user)}, args: s.appendArgs(entries[i])}
	}
	results, err := s.evalEach(ctx, appendScript, calls)
	if err != nil && results == nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	var unreadable UserErrors
	for nth, i := range remaining {
		user := batch[i].User
		reply, err := results[nth].Int64Slice()
		if err != nil {
			userErr := asUserError(user, err)
			if userErr == nil {
				return nil, fmt.Errorf("%s: %w", action, err)
			}
			unreadable = append(unreadable, userErr)
			continue
		}
		if len(reply) != 2 {
			return nil, fmt.Errorf("append to the sequence of user %q: unexpected reply %v", user, results[nth].Val())
		}
		appended[i].Version, appended[i].Added = reply[0], int(reply[1])
	}
	return appended, unreadable.orNil(action)
}

func encodeEvents(b UserEvents) ([]userstate.Entry, error) {
	entries := make([]userstate.Entry, len(b.Events))
	for i, e := range b.Events {
		var err error
		if entries[i], err = userstate.EncodeEvent(e); err != nil {
			return nil, fmt.Errorf("append event %q of user %q: %w", e.ID, b.User, err)
		}
	}
	return entries, nil
}

// appendArgs returns the arguments of append.lua.
func (s *Store) appendArgs(entries []userstate.Entry) []any {
	args := make([]any, 0, 2+2*len(entries))
	args = append(args, s.opts.Window, s.opts.SequenceTTL.Milliseconds())
	for _, e := range entries {
		args = append(args, e.Key, e.Rest)
	}
	return args
}

// appendNewer appends events in a transaction where extend can. It returns the indices of the
// users that remain for the script.
func (s *Store) appendNewer(ctx context.Context, entries [][]userstate.Entry, appended []Appended) (remaining []int, err error) {
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
			e, ok, repeated := extension{}, false, seen[keys[i]]
			seen[keys[i]] = true
			if !repeated && stored.Err() == nil && stored.Val()[n+i] == nil {
				sequence, _ := stored.Val()[i].(string)
				e, ok = extend(sequence, entries[i], s.opts.Window)
			}
			if !ok {
				remaining = append(remaining, i)
				continue
			}
			extended[i] = Appended{User: appended[i].User, Version: e.version, Added: len(entries[i])}
			s.writeExtension(ctx, tx, keys[i], e)
		}
	}
	// Watching the sequences is enough: extend needs an existing one, and Forget deletes it.
	committed, err := s.transact(ctx, keys[:n], read, write)
	if err != nil || !committed {
		return indices(n), err
	}
	for _, i := range remaining {
		extended[i].User = appended[i].User
	}
	copy(appended, extended)
	return remaining, nil
}

func (s *Store) writeExtension(ctx context.Context, tx redis.Pipeliner, key string, e extension) {
	if e.offset == 0 {
		tx.Set(ctx, key, e.text, s.opts.SequenceTTL)
		return
	}
	tx.SetRange(ctx, key, e.offset, e.text)
	if s.opts.SequenceTTL > 0 {
		tx.PExpire(ctx, key, s.opts.SequenceTTL)
	} else {
		tx.Persist(ctx, key)
	}
}

// extension is the change of a stored sequence.
type extension struct {
	offset  int64  // where text is written; 0 replaces the sequence
	text    string // entries and the footer
	version int64  // of the sequence afterwards
}

// longSequence is the size in bytes from which a sequence is extended in place, as in append.lua.
const longSequence = 1024

// extend is append.lua for the common case: the sequence exists, none of the entries is in it,
// each is at least as new as the one before, and all fit into the window. Otherwise it returns
// false.
func extend(stored string, entries []userstate.Entry, window int) (e extension, ok bool) {
	all, f, err := userstate.CutFooter(stored)
	size := int64(len(all))
	if err != nil || f.Count < 1 || f.Evicted >= size || userstate.ParseTime(f.Newest) < 0 || len(entries) == 0 {
		return e, false
	}
	if f.Count += int64(len(entries)); f.Count > int64(window) {
		return e, false
	}
	kept := all[f.Evicted:]
	var tail strings.Builder
	for _, added := range entries {
		duplicate := strings.Contains(kept, added.Key) || strings.Contains(tail.String(), added.Key)
		if duplicate || added.Time() < f.Newest {
			return e, false
		}
		tail.WriteString(added.Key)
		tail.WriteString(added.Rest)
		f.Newest = added.Time()
	}
	f.Version += int64(len(entries))
	if size >= longSequence && 4*f.Evicted <= size {
		e.offset, kept = size, ""
	} else {
		f.Evicted = 0
	}
	e.version, e.text = f.Version, kept+tail.String()+f.Encode()
	return e, true
}
