package sessions

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/append.lua
	appendSource string
	appendScript = redis.NewScript(appendSource)

	//go:embed lua/put.lua
	putSource string
	putScript = redis.NewScript(putSource)

	//go:embed lua/forget.lua
	forgetSource string
	forgetScript = redis.NewScript(forgetSource)

	//go:embed lua/lease.lua
	leaseSource string
	leaseScript = redis.NewScript(leaseSource)

	//go:embed lua/replace.lua
	replaceSource string
	replaceScript = redis.NewScript(replaceSource)
)

// call is one evaluation of a script.
type call struct {
	keys []string
	args []any
}

// evalEach evaluates the script once per call, in one round trip unless Redis restarted and lost
// the script. It returns one result per call together with the first error among them, or no
// results if the script cannot be loaded.
func (s *Store) evalEach(ctx context.Context, script *redis.Script, calls []call) ([]*redis.Cmd, error) {
	results := make([]*redis.Cmd, len(calls))
	if missing := s.evalMissing(ctx, script, calls, results); missing == 0 {
		return results, firstError(results)
	}
	if err := script.Load(ctx, s.rdb).Err(); err != nil {
		return nil, fmt.Errorf("load script into Redis: %w", err)
	}
	s.evalMissing(ctx, script, calls, results)
	return results, firstError(results)
}

// evalMissing evaluates the calls without a result. It returns how many still have none because
// Redis lacks the script.
func (s *Store) evalMissing(ctx context.Context, script *redis.Script, calls []call, results []*redis.Cmd) (missing int) {
	pipe := s.rdb.Pipeline()
	for i, c := range calls {
		if results[i] == nil || lacksScript(results[i]) {
			results[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
		}
	}
	_, _ = pipe.Exec(ctx) // each result has its own error
	for _, r := range results {
		if lacksScript(r) {
			missing++
		}
	}
	return missing
}

func lacksScript(r *redis.Cmd) bool { return redis.HasErrorPrefix(r.Err(), "NOSCRIPT") }

func firstError(results []*redis.Cmd) error {
	for _, r := range results {
		if r.Err() != nil {
			return r.Err()
		}
	}
	return nil
}
