package sessions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/redisconn"
)

const scanPage = 512 // users read at a time

// Scan calls fn with the sequence of every user exactly once, in no order, and
// returns its first error. Users who appear or vanish meanwhile may be missed.
// Users whose sequence is unreadable are logged, skipped and counted. It holds a page of
// sequences and some 40 bytes per user in memory.
func (s *Store) Scan(ctx context.Context, fn func(Sequence) error) (skipped int64, err error) {
	return s.scan(ctx, make(userSet).add, fn)
}

// Walk is Scan for callers that tolerate seeing a user twice. It holds a page of sequences
// in memory, however many users there are.
func (s *Store) Walk(ctx context.Context, fn func(Sequence) error) (skipped int64, err error) {
	return s.scan(ctx, func(string) bool { return true }, fn)
}

// scan visits the users that are wanted.
func (s *Store) scan(ctx context.Context, wanted func(user string) bool, fn func(Sequence) error) (skipped int64, err error) {
	masters, err := redisconn.Masters(ctx, s.rdb) // SCAN covers one of them
	if err != nil {
		return 0, err
	}
	v := visitor{store: s, wanted: wanted, fn: fn, skipped: make(userSet)}
	for _, master := range masters {
		if err := v.node(ctx, master); err != nil {
			return int64(len(v.skipped)), err
		}
	}
	return int64(len(v.skipped)), nil
}

// visitor is a scan under way.
type visitor struct {
	store   *Store
	wanted  func(user string) bool
	fn      func(Sequence) error
	skipped userSet // users whose sequence is unreadable
}

func (v *visitor) node(ctx context.Context, node redis.Cmdable) error {
	pattern := v.store.keys.SequencePattern()
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, pattern, scanPage).Result()
		if err != nil {
			return fmt.Errorf("scan the sequences in Redis: %w", err)
		}
		var users []string
		for _, key := range keys {
			if user := v.store.keys.User(key); !isProbed(user) && v.wanted(user) {
				users = append(users, user)
			}
		}
		if err := v.visit(ctx, users); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

func (v *visitor) visit(ctx context.Context, users []string) error {
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

// skippedLogged bounds the lines that a scan logs if another program has written all keys.
const skippedLogged = 100

func (v *visitor) skip(ctx context.Context, e *UserError) {
	if !v.skipped.add(e.User) {
		return
	}
	logger := v.store.opts.Logger
	switch n := len(v.skipped); {
	case n <= skippedLogged:
		logger.WarnContext(ctx, "skipped a user whose sequence is unreadable: run genrec forget, or delete the key to lose the sequence alone",
			"user", e.User, "key", v.store.keys.Sequence(e.User), "err", e.Err)
	case n == skippedLogged+1:
		logger.WarnContext(ctx, "further users whose sequence is unreadable are skipped without a line of their own")
	}
}

// userSet remembers users by a hash long enough to have no collisions.
type userSet map[[16]byte]struct{}

// add reports whether the user was not in the set.
func (s userSet) add(user string) bool {
	sum := sha256.Sum256([]byte(user))
	hash := [16]byte(sum[:16])
	_, known := s[hash]
	s[hash] = struct{}{}
	return !known
}
