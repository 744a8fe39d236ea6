package sessions

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Forget removes the sequences and recommendations of users, and leaves an erasure of
// each: events up to now (or up to the newest that the user had, if that is later) and
// recommendations under way are ignored from then on, also when they are delivered
// again. Later events begin a new sequence, whose versions go on from the old one. It
// says of which users there was anything, and can be repeated.
func (s *Store) Forget(ctx context.Context, users []string, now time.Time) (found []bool, err error) {
	calls := make([]call, len(users))
	for i, user := range users {
		calls[i] = call{
			keys: []string{s.keys.Sequence(user), s.keys.List(user), s.erasureKey(user)},
			args: []any{strconv.FormatInt(now.UnixMilli(), 10)},
		}
	}
	results, err := s.evalEach(ctx, forgetScript, calls)
	if err != nil {
		return nil, fmt.Errorf("forget %d users: %w", len(users), err)
	}
	found = make([]bool, len(users))
	for i, result := range results {
		if found[i], err = result.Bool(); err != nil {
			return nil, fmt.Errorf("forget user %q: %w", users[i], err)
		}
	}
	return found, nil
}

// forever is the erasure of a user whose own is unreadable.
var forever = time.UnixMilli(maxMilli).UTC()

// Erasures returns up to when users were forgotten, in the same order: the zero time
// for those who never were. An unreadable erasure is logged and counts as one of all events,
// so that it keeps no other user out of a training and brings nobody back.
func (s *Store) Erasures(ctx context.Context, users []string) ([]time.Time, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.erasureKey(user))
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	erased := make([]time.Time, len(users))
	for i, user := range users {
		value, err := stored[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			erased[i], err = decodeErasure(value)
		} else if ofUser(user, err) == nil {
			return nil, fmt.Errorf("read the erasures of %d users: %w", len(users), err)
		}
		if err != nil {
			erased[i] = forever
			s.opts.Logger.WarnContext(ctx, "left out all events of a user whose erasure is unreadable: run genrec forget",
				"user", user, "key", s.erasureKey(user), "err", err)
		}
	}
	return erased, nil
}

// decodeErasure reads "MILLISECONDS VERSION", which forget.lua writes.
func decodeErasure(value string) (time.Time, error) {
	at, _, found := strings.Cut(value, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !found {
		return time.Time{}, fmt.Errorf("%q is not a time and a version", value)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// erasureKey holds a hash in place of the id: enough to know the user again, and
// nothing to tell who it was. It is in the slot of the user's other keys.
func (s *Store) erasureKey(user string) string {
	sum := sha256.Sum256([]byte(user))
	return s.opts.Prefix + ":erased:" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "{" + slotTag(slotOf(user)) + "}"
}
