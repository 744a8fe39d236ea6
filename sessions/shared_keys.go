package sessions

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// PutPopular replaces the list for users without their own. It never expires.
func (s *Store) PutPopular(ctx context.Context, l userstate.List) error {
	l.User, l.Source = "", userstate.SourcePopular
	value, err := l.Encode()
	if err != nil {
		return err
	}
	if err := s.rdb.Set(ctx, s.keys.Popular(), value, 0).Err(); err != nil {
		return fmt.Errorf("write the popular items: %w", err)
	}
	return nil
}

const (
	similarPerWrite = 500       // items per round trip
	similarTTL      = time.Hour // of a hash that is not complete yet
)

// PutSimilar replaces the similar items of all items. They are written to a temporary hash that
// is renamed when it is complete, so that readers see either the old or the new ones.
func (s *Store) PutSimilar(ctx context.Context, similar iter.Seq2[string, userstate.SimilarItems]) error {
	key := s.keys.Similar()
	temporary := key + ":" + rand.Text() + "{" + key + "}" // in the hash slot of key
	var fields []any
	written := false
	write := func() error {
		pipe := s.rdb.Pipeline()
		pipe.HSet(ctx, temporary, fields...)
		pipe.PExpire(ctx, temporary, similarTTL)
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("write similar items: %w", err)
		}
		fields, written = fields[:0], true
		return nil
	}
	for item, others := range similar {
		value, err := others.Encode()
		if err != nil {
			return err
		}
		if fields = append(fields, item, value); len(fields) < 2*similarPerWrite {
			continue
		}
		if err := write(); err != nil {
			return err
		}
	}
	if len(fields) > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	if !written {
		if err := s.rdb.Del(ctx, key).Err(); err != nil {
			return fmt.Errorf("delete the similar items: %w", err)
		}
		return nil
	}
	if _, err := s.evalEach(ctx, replaceScript, []call{{keys: []string{temporary, key}}}); err != nil {
		return fmt.Errorf("replace the similar items: %w", err)
	}
	return nil
}

// SharedKeys says which of the keys that are common to all users exist.
type SharedKeys struct {
	Popular bool // the popular items
	Similar bool // the similar items
	Format  bool // the format of sequences
}

// SharedKeys looks for the keys that are common to all users. Redis may have lost them by a
// restart without persistence, or by FLUSHALL.
func (s *Store) SharedKeys(ctx context.Context) (found SharedKeys, err error) {
	pipe := s.rdb.Pipeline()
	keys := []string{s.keys.Popular(), s.keys.Similar(), s.keys.Format()}
	counts := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		counts[i] = pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return SharedKeys{}, fmt.Errorf("check whether the keys %q exist: %w", keys, err)
	}
	return SharedKeys{Popular: counts[0].Val() > 0, Similar: counts[1].Val() > 0, Format: counts[2].Val() > 0}, nil
}

// MissingKeys describes the shared keys that do not exist. Similar items count only if the model
// has some.
func (s *Store) MissingKeys(found SharedKeys, similar bool) (missing []string) {
	for _, k := range []struct {
		required, found bool
		content, key    string
	}{
		{true, found.Popular, "popular items", s.keys.Popular()},
		{similar, found.Similar, "similar items", s.keys.Similar()},
		{true, found.Format, "the format", s.keys.Format()},
	} {
		if k.required && !k.found {
			missing = append(missing, k.content+" ("+k.key+")")
		}
	}
	return missing
}
