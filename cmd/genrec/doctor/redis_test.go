package doctor

import (
	"context"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A Redis that may lose writes is recognized by its INFO.
func TestRedisThatLosesWrites(t *testing.T) {
	for _, c := range []struct {
		info string
		want []string // hints
	}{
		{"# Memory\r\nused_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\nrole:master\r\n", nil},
		{"maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nused_memory:5\r\nrole:master\r\n", []string{"set maxmemory-policy noeviction", "set appendonly yes"}},
		{"used_memory:95\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:slave\r\n", []string{"raise maxmemory, or store less", "connect to the master"}},
		{"maxmemory_policy:volatile-ttl\r\n", []string{"set maxmemory-policy noeviction", "permit INFO to this user (+info), or check the server's configuration"}},
	} {
		client := redis.NewClient(&redis.Options{})
		client.AddHook(info(c.info))
		var hints []string
		for _, f := range checkDurability(t.Context(), client) {
			hints = append(hints, f.Hint)
		}
		if !slices.Equal(hints, c.want) {
			t.Errorf("of a Redis with %q the hints are %q, want %q", c.info, hints, c.want)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

// info is the answer of a fake Redis to INFO.
type info string

func (info) DialHook(next redis.DialHook) redis.DialHook { return next }

func (i info) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.(*redis.StringCmd).SetVal(string(i))
		return nil
	}
}

func (info) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
