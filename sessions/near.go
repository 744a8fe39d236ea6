package sessions

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

var (
	//go:embed lua/replace.lua
	replaceSource string
	replaceScript = redis.NewScript(replaceSource)
)

const (
	nearAtOnce  = 500       // items of one write
	nearHalfway = time.Hour // how long what has been begun stays
)

// PutSimilar replaces what is popular near items, all at once when it is complete, so that
// a kill leaves what was there before.
func (s *Store) PutSimilar(ctx context.Context, near iter.Seq2[string, userstate.SimilarItems]) error {
	key := s.keys.Similar()
	next := s.keys.Prefix + ":near:" + rand.Text() + "{" + key + "}" // in its hash slot
	var fields []any
	began := false
	write := func() error {
		pipe := s.rdb.Pipeline()
		pipe.HSet(ctx, next, fields...)
		pipe.PExpire(ctx, next, nearHalfway)
		_, err := pipe.Exec(ctx)
		fields, began = fields[:0], true
		return err
	}
	for item, others := range near {
		value, err := others.Encode()
		if err != nil {
			return err
		}
		if fields = append(fields, item, value); len(fields) < 2*nearAtOnce {
			continue
		}
		if err := write(); err != nil {
			return fmt.Errorf("write what is popular near items: %w", err)
		}
	}
	if len(fields) > 0 {
		if err := write(); err != nil {
			return fmt.Errorf("write what is popular near items: %w", err)
		}
	}
	if !began {
		if err := s.rdb.Del(ctx, key).Err(); err != nil {
			return fmt.Errorf("write that nothing is popular near items: %w", err)
		}
		return nil
	}
	if _, err := s.evalEach(ctx, replaceScript, []call{{keys: []string{next, key}}}); err != nil {
		return fmt.Errorf("replace what is popular near items: %w", err)
	}
	return nil
}
