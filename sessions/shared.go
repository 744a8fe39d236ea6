package sessions

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Shared are the keys that infer keeps for all users.
type SharedKeys struct {
	Popular, Similar, Format bool
}

// Shared tells which of them are there. Redis may have lost them: to a restart without a file,
// or to FLUSHALL.
func (s *Store) SharedKeys(ctx context.Context) (found SharedKeys, err error) {
	pipe := s.rdb.Pipeline()
	keys := []string{s.keys.Popular(), s.keys.Similar(), s.keys.Format()}
	counts := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		counts[i] = pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return SharedKeys{}, fmt.Errorf("look whether the keys %q exist: %w", keys, err)
	}
	return SharedKeys{Popular: counts[0].Val() > 0, Similar: counts[1].Val() > 0, Format: counts[2].Val() > 0}, nil
}

// Missing names the keys that are not there, with what they hold.
func (s *Store) MissingKeys(found SharedKeys, near bool) (missing []string) {
	for _, k := range []struct {
		wanted, found bool
		what, key     string
	}{
		{true, found.Popular, "popular items", s.keys.Popular()},
		{near, found.Similar, "similar items", s.keys.Similar()},
		{true, found.Format, "the format", s.keys.Format()},
	} {
		if k.wanted && !k.found {
			missing = append(missing, k.what+" ("+k.key+")")
		}
	}
	return missing
}
