package sessions

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

const scanPage = 512 // users read at a time

// Scan calls fn with the sequence of every user exactly once, in no order, and
// returns its first error. Users who appear or vanish meanwhile may be missed.
// It holds a page of sequences and some 40 bytes per user in memory.
func (s *Store) Scan(ctx context.Context, fn func(Sequence) error) error {
	return s.scan(ctx, make(userSet).add, fn)
}

// Walk is Scan for who can bear to see a user twice. It holds a page of sequences in
// memory, however many users there are.
func (s *Store) Walk(ctx context.Context, fn func(Sequence) error) error {
	return s.scan(ctx, func(string) bool { return true }, fn)
}

// scan visits the users that are wanted.
func (s *Store) scan(ctx context.Context, wanted func(user string) bool, fn func(Sequence) error) error {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := s.scanNode(ctx, node, wanted, fn); err != nil {
			return err
		}
	}
	return nil
}

// nodes returns what to scan: SCAN covers one node of a cluster.
func (s *Store) nodes(ctx context.Context) ([]redis.Cmdable, error) {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return []redis.Cmdable{s.rdb}, nil
	}
	var (
		mu      sync.Mutex
		masters []redis.Cmdable
	)
	err := cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, master)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the masters of the Redis cluster: %w", err)
	}
	return masters, nil
}

func (s *Store) scanNode(ctx context.Context, node redis.Cmdable, wanted func(user string) bool, fn func(Sequence) error) error {
	pattern := escapeGlob(s.sequencePrefix()) + "*"
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, pattern, scanPage).Result()
		if err != nil {
			return fmt.Errorf("scan the sequences in Redis: %w", err)
		}
		var users []string
		for _, key := range keys {
			if user := s.userOf(key); wanted(user) {
				users = append(users, user)
			}
		}
		if err := s.visit(ctx, users, fn); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

func (s *Store) visit(ctx context.Context, users []string, fn func(Sequence) error) error {
	if len(users) == 0 {
		return nil
	}
	sequences, err := s.Sequences(ctx, users)
	if err != nil {
		return err
	}
	for _, sequence := range sequences {
		if len(sequence.Interactions) == 0 {
			continue
		}
		if err := fn(sequence); err != nil {
			return err
		}
	}
	return nil
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

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

func escapeGlob(literal string) string { return globEscaper.Replace(literal) }
