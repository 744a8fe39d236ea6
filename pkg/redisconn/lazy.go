package redisconn

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Lazy returns a client that connects, and detects a Redis Cluster, with its first command. It is
// for readers that start while Redis may be down. In a cluster, commands go to the node of their
// key: commands for all nodes, such as SCRIPT LOAD and SCAN, need Connect.
func Lazy(o *redis.UniversalOptions) redis.UniversalClient {
	client := redis.NewClient(o.Simple())
	r := &router{options: o}
	client.AddHook(r)
	return &lazyClient{Client: client, router: r}
}

type lazyClient struct {
	*redis.Client
	router *router
}

// Close closes the connections to all nodes.
func (c *lazyClient) Close() error { return errors.Join(c.Client.Close(), c.router.close()) }

// router is a hook that sends commands to the nodes of a Redis Cluster, if it is one.
type router struct {
	options *redis.UniversalOptions

	mu      sync.RWMutex
	known   bool
	cluster redis.UniversalClient // nil: a single Redis, or not known yet
}

// route returns the client of the cluster, or nil for a single Redis.
func (r *router) route(ctx context.Context) (redis.UniversalClient, error) {
	r.mu.RLock()
	known, cluster := r.known, r.cluster
	r.mu.RUnlock()
	if known {
		return cluster, nil
	}
	is, err := isCluster(ctx, r.options)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if is && r.cluster == nil && !r.known {
		r.cluster = newClient(r.options, true)
	}
	r.known = true
	return r.cluster, nil
}

func (r *router) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cluster == nil {
		return nil
	}
	return r.cluster.Close()
}

// DialHook implements redis.Hook.
func (r *router) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (r *router) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		cluster, err := r.route(ctx)
		switch {
		case err != nil:
			cmd.SetErr(err)
			return err
		case cluster == nil:
			return next(ctx, cmd)
		}
		return cluster.Process(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (r *router) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		cluster, err := r.route(ctx)
		switch {
		case err != nil:
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		case cluster == nil:
			return next(ctx, cmds)
		}
		pipe := cluster.Pipeline()
		for _, cmd := range cmds {
			_ = pipe.Process(ctx, cmd) // queues it
		}
		_, err = pipe.Exec(ctx)
		return err
	}
}
