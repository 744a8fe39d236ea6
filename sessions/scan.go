package sessions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"genrec/pkg/redisconn"
)

const scanPage = 512 // users per SCAN call and read

// Scan calls fn with the sequence of every user exactly once, in no particular order, and returns
// its first error. Users that appear or disappear during the scan may be missed. Unreadable
// sequences are logged, skipped and counted. It keeps one page of sequences and about 40 bytes
// per user in memory.
func (s *Store) Scan(ctx context.Context, fn func(Sequence) error) (skipped int64, err error) {
	return s.scan(ctx, make(userSet).add, fn)
}

// Walk is Scan for callers that tolerate a user twice. It keeps only a page of sequences in
// memory.
func (s *Store) Walk(ctx context.Context, fn func(Sequence) error) (skipped int64, err error) {
	return s.scan(ctx, func(string) bool { return true }, fn)
}

// scan visits the users for which filter returns true.
func (s *Store) scan(ctx context.Context, filter func(user string) bool, fn func(Sequence) error) (skipped int64, err error) {
	v := visitor{store: s, filter: filter, fn: fn, skipped: make(userSet)}
	err = s.scanKeys(ctx, func(keys []string) error { return v.visit(ctx, keys) })
	return int64(len(v.skipped)), err
}

// scanKeys calls fn with the keys of all sequences, page by page, on all masters: SCAN covers one
// node. A key may come twice.
func (s *Store) scanKeys(ctx context.Context, fn func(keys []string) error) error {
	masters, err := redisconn.Masters(ctx, s.rdb)
	if err != nil {
		return err
	}
	pattern := s.keys.SequencePattern()
	for _, master := range masters {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var keys []string
			if keys, cursor, err = master.Scan(ctx, cursor, pattern, scanPage).Result(); err != nil {
				return fmt.Errorf("scan the sequences in Redis: %w", err)
			}
			if err := fn(keys); err != nil {
				return err
			}
		}
	}
	return nil
}

// visitor is a scan in progress.
type visitor struct {
	store   *Store
	filter  func(user string) bool
	fn      func(Sequence) error
	skipped userSet // users with an unreadable sequence
}

func (v *visitor) visit(ctx context.Context, keys []string) error {
	var users []string
	for _, key := range keys {
		if user := v.store.keys.User(key); !isProbeUser(user) && v.filter(user) {
			users = append(users, user)
		}
	}
	if len(users) == 0 {
		return nil
	}
	sequences, err := v.store.Sequences(ctx, users)
	var unreadable UserErrors
	if err != nil && !errors.As(err, &unreadable) {
		return err
	}
	for _, e := range unreadable {
		v.skip(ctx, e)
	}
	for _, sequence := range sequences {
		if len(sequence.Interactions) == 0 {
			continue
		}
		if err := v.fn(sequence); err != nil {
			return err
		}
	}
	return nil
}

// maxSkippedLogged limits the log lines of a scan in case another program wrote all keys.
const maxSkippedLogged = 100

func (v *visitor) skip(ctx context.Context, e *UserError) {
	if !v.skipped.add(e.User) {
		return
	}
	logger := v.store.opts.Logger
	switch n := len(v.skipped); {
	case n <= maxSkippedLogged:
		logger.WarnContext(ctx, "skipped a user with an unreadable sequence: run genrec forget, or delete the key to lose only the sequence",
			"user", e.User, "key", v.store.keys.Sequence(e.User), "err", e.Err)
	case n == maxSkippedLogged+1:
		logger.WarnContext(ctx, "skipping more users with unreadable sequences without logging each")
	}
}

// userSet is a set of users, represented by hashes long enough to rule out collisions.
type userSet map[[16]byte]struct{}

// add returns false if the set already contained the user.
func (s userSet) add(user string) bool {
	sum := sha256.Sum256([]byte(user))
	hash := [16]byte(sum[:16])
	_, exists := s[hash]
	s[hash] = struct{}{}
	return !exists
}
