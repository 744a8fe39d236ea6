// Package redisconn connects to a single Redis or a Redis Cluster. It detects which of them it is
// with HELLO, so that one address is enough for either: managed services have a single endpoint
// for a cluster. It also tells permanent errors, such as a TLS mismatch or missing permissions,
// from outages that are worth a retry, and has a hint for each.
package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Permanent errors of Connect and Lazy, see Permanent.
var (
	ErrPlainText  = errors.New("the server does not use TLS at this port")
	ErrTLS        = errors.New("the server expects TLS at this port")
	ErrSentinel   = errors.New("the server is a Redis Sentinel, which stores no data")
	ErrNoCluster  = errors.New("the server is not a node of a Redis Cluster, but several addresses are given")
	ErrNoDatabase = errors.New("the server is a node of a Redis Cluster, which has only database 0")
)

// Connect probes the first address that responds and returns a client for a single Redis or for a
// Redis Cluster.
func Connect(ctx context.Context, o *redis.UniversalOptions) (redis.UniversalClient, error) {
	cluster, err := isCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	return newClient(o, cluster), nil
}

func newClient(o *redis.UniversalOptions, cluster bool) redis.UniversalClient {
	options := *o
	options.IsClusterMode = cluster
	return redis.NewUniversalClient(&options)
}

// Masters returns a client for each master of a Redis Cluster, or client itself for a single Redis.
// Closing client closes them.
func Masters(ctx context.Context, client redis.UniversalClient) ([]*redis.Client, error) {
	switch c := client.(type) {
	case *redis.Client:
		return []*redis.Client{c}, nil
	case *redis.ClusterClient:
		found := make(chan *redis.Client)
		failed := make(chan error, 1)
		go func() {
			failed <- c.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
				found <- master
				return nil
			})
			close(found)
		}()
		var masters []*redis.Client
		for master := range found {
			masters = append(masters, master)
		}
		if err := <-failed; err != nil {
			return nil, fmt.Errorf("list the masters of the Redis Cluster: %w", err)
		}
		return masters, nil
	}
	return nil, fmt.Errorf("list the masters of a %T: not supported", client)
}

// isCluster probes the addresses until one responds. If none does, it returns the error of the
// first, or the last permanent one.
func isCluster(ctx context.Context, o *redis.UniversalOptions) (cluster bool, err error) {
	for i, address := range o.Addrs {
		var failed error
		if cluster, failed = probe(ctx, address, o); failed == nil {
			return cluster, nil
		}
		if failed = fmt.Errorf("connect to Redis at %s: %w", address, failed); i == 0 || Permanent(failed) {
			err = failed
		}
	}
	return false, err
}

// probe connects to one address and detects the mode of the server.
func probe(ctx context.Context, address string, o *redis.UniversalOptions) (cluster bool, err error) {
	if o.TLSConfig != nil {
		if err := handshake(ctx, address, o.TLSConfig); err != nil {
			return false, err
		}
	}
	options := *o.Simple()
	options.Addr, options.MaxRetries, options.DialerRetries, options.PoolSize = address, -1, 1, 1
	client := redis.NewClient(&options)
	defer client.Close()
	switch mode, err := modeOf(ctx, client); {
	case redis.HasErrorPrefix(err, "SELECT is not allowed"):
		return false, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	case err != nil && o.TLSConfig == nil && expectsTLS(ctx, address, err):
		return false, ErrTLS
	case err != nil:
		return false, err
	case mode == "sentinel":
		return false, ErrSentinel
	case mode != "cluster" && len(o.Addrs) > 1:
		return false, ErrNoCluster
	case mode == "cluster" && o.DB != 0:
		return false, ErrNoDatabase
	default:
		return mode == "cluster", nil
	}
}

// modeOf returns the mode of a server: standalone, cluster or sentinel. Every user may call HELLO;
// a proxy without it may still support CLUSTER SLOTS.
func modeOf(ctx context.Context, client *redis.Client) (string, error) {
	hello := redis.NewMapStringInterfaceCmd(ctx, "hello", "3")
	err := client.Process(ctx, hello)
	if err == nil {
		mode, _ := hello.Val()["mode"].(string)
		return mode, nil
	}
	var reply redis.Error
	if !errors.As(err, &reply) || !strings.HasPrefix(reply.Error(), "ERR ") { // such as LOADING
		return "", err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return "", err
	}
	if slots, err := client.Do(ctx, "cluster", "slots").Slice(); err == nil && len(slots) > 0 {
		return "cluster", nil
	}
	return "standalone", nil
}
