// Package sessions maintains each user's state in Redis: the sequence of interactions, the
// recommendation list, and the erasure that keeps a forgotten user from reappearing. Package
// userstate defines the keys and the encoding of the values; pkg/recs reads the lists.
//
// Writes are idempotent and atomic per user, so at-least-once delivery is safe. Append skips
// events whose ID the sequence contains, and increments the sequence's version for every event
// that changes it. PutLists is a compare-and-set on that version: a list never replaces one
// generated from a newer sequence. Forget leaves an erasure, and both writes respect it.
//
// There are two implementations of each write. The common case (new events that are newer than
// the sequence's, a list newer than the stored one) is an optimistic transaction over a whole
// batch: WATCH, read, decide in Go, MULTI, EXEC. It takes Redis less than half of the CPU time of
// a script per user. Lua scripts (lua/append.lua, lua/put.lua) handle every other case, conflicts
// and Redis Cluster, where a transaction cannot span hash slots; they define the semantics, and
// tests compare the transactions with them.
//
// A Store also keeps what all processes share: the fallback lists (popular and similar items),
// the hit counts per model version, leases, and the progress of the background refresh.
package sessions

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/recs"
	"genrec/pkg/userstate"
)

// Defaults of Options.
const (
	DefaultPrefix = userstate.DefaultPrefix
	DefaultWindow = 128

	// Defaults for programs to offer: in Options, 0 means that keys never expire.
	DefaultSequenceTTL        = 365 * 24 * time.Hour
	DefaultRecommendationsTTL = 30 * 24 * time.Hour
)

// MaxWindow is the maximum of Options.Window.
const MaxWindow = userstate.MaxWindow

// Options configures a Store. Programs that share keys must agree on Prefix, Window and
// SequenceTTL.
type Options struct {
	Prefix             string        // of all keys, without braces; default DefaultPrefix
	Window             int           // newest interactions kept per user, 1 to MaxWindow; default DefaultWindow
	SequenceTTL        time.Duration // a sequence expires this long after its last event; 0: never
	RecommendationsTTL time.Duration // a list expires this long after it was written; 0: never
	Logger             *slog.Logger  // for warnings about skipped data; default slog.Default()
}

// Store reads and writes the state of users. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	single *redis.Client // for transactions; nil for a Redis Cluster
	opts   Options
	keys   userstate.Keys
	reader *recs.Client

	noTransactions *atomic.Bool // Redis refuses them; shared by copies of the Store
}

// Open checks that Redis responds and that its data has the format of this program, and loads
// the scripts. The Store uses rdb but does not close it. rdb must have ContextTimeoutEnabled, or
// contexts do not limit the duration of calls.
func Open(ctx context.Context, rdb redis.UniversalClient, o Options) (*Store, error) {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.Window = cmp.Or(o.Window, DefaultWindow)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := rdb.Ping(ctx).Err(); err != nil {
		return nil, WithHint(fmt.Errorf("ping Redis: %w", err))
	}
	for _, script := range []*redis.Script{appendScript, putScript, forgetScript, replaceScript} {
		if err := script.Load(ctx, rdb).Err(); err != nil {
			return nil, WithHint(fmt.Errorf("load script into Redis: %w", err))
		}
	}
	s := &Store{
		rdb: rdb, opts: o, keys: userstate.Keys{Prefix: o.Prefix}, reader: recs.New(rdb, recs.Options{Prefix: o.Prefix}),
		noTransactions: new(atomic.Bool),
	}
	s.single, _ = rdb.(*redis.Client)
	s.checkTransactions(ctx)
	if err := s.checkFormat(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (o Options) validate() error {
	switch {
	case strings.ContainsAny(o.Prefix, "{}"):
		return fmt.Errorf("sessions: prefix %q contains a brace, which Redis Cluster would interpret as the start or end of the hash tag", o.Prefix)
	case o.Window < 1 || o.Window > MaxWindow:
		return fmt.Errorf("sessions: window %d is not between 1 and %d", o.Window, MaxWindow)
	case o.SequenceTTL < 0:
		return fmt.Errorf("sessions: TTL of sequences %v is negative", o.SequenceTTL)
	case o.RecommendationsTTL < 0:
		return fmt.Errorf("sessions: TTL of recommendations %v is negative", o.RecommendationsTTL)
	}
	return nil
}
