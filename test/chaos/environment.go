package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/sessions"
	"genrec/test/harness"
)

const (
	minKills     = 20
	restarts     = 4
	killEvery    = 10 * time.Second // in long runs
	disturbances = 12               // cut or stalled connections, or a member that joins and leaves
	minDuration  = 40 * time.Second
)

// environment has the servers, a proxy in front of each, and the processes of the services.
type environment struct {
	s               settings
	servers         harness.Servers
	kafkaProxy      *proxy
	redisProxy      *proxy
	cluster         stream.Cluster // through the proxy
	topics          stream.Topics
	rdb             *redis.Client // not through the proxy
	store           *sessions.Store
	members         []*member
	kills, restarts int
}

func newEnvironment(ctx context.Context, s settings, folder string) (env *environment, err error) {
	env = &environment{s: s, topics: stream.DefaultTopics()}
	defer func() {
		if err != nil {
			env.close()
		}
	}()
	if env.kafkaProxy, err = newProxy(); err != nil {
		return env, err
	}
	if env.redisProxy, err = newProxy(); err != nil {
		return env, err
	}
	slog.Info("starting Kafka and Redis")
	env.servers, err = harness.StartServers(ctx, folder, testservers.KafkaConfig{Jars: s.jars, Advertised: env.kafkaProxy.address()})
	if err != nil {
		return env, err
	}
	go env.redisProxy.serve(env.servers.Redis.Address())
	go env.kafkaProxy.serve(env.servers.Kafka.Address())
	env.cluster = stream.Cluster{Brokers: []string{env.kafkaProxy.address()}}
	if err := stream.EnsureTopics(ctx, env.cluster, env.topics, s.partitions); err != nil {
		return env, err
	}
	env.rdb = redis.NewClient(&redis.Options{Addr: env.servers.Redis.Address(), ContextTimeoutEnabled: true})
	if env.store, err = sessions.Open(ctx, env.rdb, sessions.Options{}); err != nil {
		return env, err
	}
	for range s.members {
		env.join(ctx, "ingest")
		env.join(ctx, "inference")
	}
	return env, nil
}

func (env *environment) join(ctx context.Context, service string) *member {
	m := startMember(ctx, service, env.kafkaProxy.address(), env.redisProxy.address(), env.s.verbose)
	env.members = append(env.members, m)
	return m
}

// close stops everything.
func (env *environment) close() {
	for _, m := range env.members {
		m.stop()
	}
	if env.rdb != nil {
		_ = env.rdb.Close()
	}
	env.servers.Close()
	for _, p := range []*proxy{env.kafkaProxy, env.redisProxy} {
		if p != nil {
			_ = p.close()
		}
	}
}

// injectFaults injects all faults, spread over the duration in an order that depends on the seed.
func (env *environment) injectFaults(ctx context.Context, random *rand.Rand) error {
	type fault struct {
		at time.Duration
		do func() error
	}
	var faults []fault
	spread := func(n int, do func(i int) error) {
		each := env.s.duration / time.Duration(n)
		for i := range n {
			at := time.Duration(i)*each + time.Duration(random.Int64N(int64(each)))
			faults = append(faults, fault{at, func() error { return do(i) }})
		}
	}
	spread(max(minKills, int(env.s.duration/killEvery)), func(int) error {
		env.members[random.IntN(2*env.s.members)].kill() // only permanent members
		env.kills++
		return nil
	})
	spread(max(restarts, int(env.s.duration/(10*killEvery))), func(i int) error { return env.restart(ctx, i%2 == 0) })
	spread(disturbances, func(i int) error {
		p := []*proxy{env.kafkaProxy, env.redisProxy}[i%2]
		switch i % 3 {
		case 0:
			p.cut()
		case 1:
			p.stall(time.Duration(random.IntN(3000)) * time.Millisecond)
		default:
			m := env.join(ctx, []string{"ingest", "inference"}[i%2])
			time.AfterFunc(env.s.duration/10, m.stop)
		}
		return nil
	})
	slices.SortStableFunc(faults, func(a, b fault) int { return int(a.at - b.at) })

	began := time.Now()
	for _, f := range faults {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(began.Add(f.at))):
		}
		if err := f.do(); err != nil {
			return err
		}
	}
	return nil
}

// restart kills and starts a server.
func (env *environment) restart(ctx context.Context, kafka bool) error {
	var server interface {
		Kill()
		Start(ctx context.Context) error
	} = env.servers.Redis
	if kafka {
		server = env.servers.Kafka
	}
	env.restarts++
	server.Kill()
	if err := server.Start(ctx); err != nil { // the error names the server
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}
