// Package sessions keeps in Redis what genrec knows of each user: the sequence
// of their interactions and their current recommendations.
// Package userstate defines the keys and the encoding of their values.
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
	// Both are for programs to offer as their defaults; in Options, 0 means never.
	DefaultSequenceTTL        = 365 * 24 * time.Hour
	DefaultRecommendationsTTL = 30 * 24 * time.Hour
)

// MaxWindow bounds Options.Window.
const MaxWindow = userstate.MaxWindow

// Options configures a Store. Programs that share keys must agree on Prefix,
// Window and SequenceTTL.
type Options struct {
	Prefix             string        // of all keys; without braces
	Window             int           // interactions kept per user: the newest, at most MaxWindow
	SequenceTTL        time.Duration // sequences without a new event for that long expire; 0: never
	RecommendationsTTL time.Duration // recommendations not renewed for that long expire; 0: never
	Logger             *slog.Logger  // warns of what is skipped; nil: slog.Default()
}

// Store keeps sequences and recommendations. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	single *redis.Client // for transactions; nil for a Redis Cluster
	opts   Options
	keys   userstate.Keys
	reader *recs.Client

	noTransactions *atomic.Bool // Redis refuses them; shared by copies
}

// Open checks that Redis answers, and that what is there has the format of this program, and
// loads the scripts. The Store uses rdb but
// does not close it; for contexts to bound its calls, rdb must have
// ContextTimeoutEnabled.
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
		return fmt.Errorf("sessions: prefix %q contains a brace, which Redis Cluster would take for the hash tag", o.Prefix)
	case o.Window < 1 || o.Window > MaxWindow:
		return fmt.Errorf("sessions: window %d is not between 1 and %d", o.Window, MaxWindow)
	case o.SequenceTTL < 0:
		return fmt.Errorf("sessions: TTL of sequences %v is negative", o.SequenceTTL)
	case o.RecommendationsTTL < 0:
		return fmt.Errorf("sessions: TTL of recommendations %v is negative", o.RecommendationsTTL)
	}
	return nil
}
