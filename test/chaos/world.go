package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/sessions"
)

const (
	leastKills   = 20
	restarts     = 4
	killEvery    = 10 * time.Second // in long runs
	disturbances = 12               // connections that are cut or stalled, consumers that come and leave
	minDuration  = 40 * time.Second
)

// world is the servers, what stands before them, and the processes of the services.
type world struct {
	s               settings
	kafka           *testservers.Kafka
	redis           *testservers.Redis
	kafkaProxy      *proxy
	redisProxy      *proxy
	cluster         stream.Cluster // through the proxy
	topics          stream.Topics
	rdb             *redis.Client // past the proxy
	store           *sessions.Store
	members         []*member
	kills, restarts int
}

func newWorld(ctx context.Context, s settings, folder string) (w *world, err error) {
	w = &world{s: s, topics: stream.DefaultTopics()}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.kafkaProxy, err = newProxy(); err != nil {
		return w, err
	}
	if w.redisProxy, err = newProxy(); err != nil {
		return w, err
	}
	for _, name := range []string{"kafka", "redis"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			return w, err
		}
	}
	slog.Info("starting Kafka and Redis")
	w.redis, err = testservers.StartRedis(ctx, testservers.RedisConfig{Folder: filepath.Join(folder, "redis")})
	if err != nil {
		return w, err
	}
	go w.redisProxy.serve(w.redis.Address())
	w.kafka, err = testservers.StartKafka(ctx, testservers.KafkaConfig{
		Jars: s.jars, Folder: filepath.Join(folder, "kafka"), Advertised: w.kafkaProxy.address(),
	})
	if err != nil {
		return w, err
	}
	go w.kafkaProxy.serve(w.kafka.Address())
	w.cluster = stream.Cluster{Brokers: []string{w.kafkaProxy.address()}}
	if err := stream.EnsureTopics(ctx, w.cluster, w.topics, s.partitions); err != nil {
		return w, err
	}
	w.rdb = redis.NewClient(&redis.Options{Addr: w.redis.Address(), ContextTimeoutEnabled: true})
	if w.store, err = sessions.Open(ctx, w.rdb, sessions.Options{}); err != nil {
		return w, err
	}
	for range s.members {
		w.join(ctx, "ingest")
		w.join(ctx, "inference")
	}
	return w, nil
}

func (w *world) join(ctx context.Context, service string) *member {
	m := startMember(ctx, service, w.kafkaProxy.address(), w.redisProxy.address(), w.s.verbose)
	w.members = append(w.members, m)
	return m
}

// close ends all processes.
func (w *world) close() {
	for _, m := range w.members {
		m.leave()
	}
	if w.rdb != nil {
		_ = w.rdb.Close()
	}
	if w.kafka != nil {
		w.kafka.Close()
	}
	if w.redis != nil {
		w.redis.Close()
	}
	for _, p := range []*proxy{w.kafkaProxy, w.redisProxy} {
		if p != nil {
			_ = p.close()
		}
	}
}

// rage does all that goes wrong, spread over the duration in an order that the seed decides.
func (w *world) rage(ctx context.Context, random *rand.Rand) error {
	type fault struct {
		at time.Duration
		do func() error
	}
	var faults []fault
	spread := func(n int, do func(i int) error) {
		each := w.s.duration / time.Duration(n)
		for i := range n {
			at := time.Duration(i)*each + time.Duration(random.Int64N(int64(each)))
			faults = append(faults, fault{at, func() error { return do(i) }})
		}
	}
	spread(max(leastKills, int(w.s.duration/killEvery)), func(int) error {
		w.members[random.IntN(2*w.s.members)].kill() // not those that come and leave
		w.kills++
		return nil
	})
	spread(max(restarts, int(w.s.duration/(10*killEvery))), func(i int) error { return w.restart(ctx, i%2 == 0) })
	spread(disturbances, func(i int) error {
		p := []*proxy{w.kafkaProxy, w.redisProxy}[i%2]
		switch i % 3 {
		case 0:
			p.cut()
		case 1:
			p.stall(time.Duration(random.IntN(3000)) * time.Millisecond)
		default:
			m := w.join(ctx, []string{"ingest", "inference"}[i%2])
			time.AfterFunc(w.s.duration/10, m.leave)
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

func (w *world) restart(ctx context.Context, kafka bool) error {
	w.restarts++
	if kafka {
		w.kafka.Kill()
		if err := w.kafka.Start(ctx); err != nil {
			return fmt.Errorf("start Kafka again: %w", err)
		}
		return nil
	}
	w.redis.Kill()
	if err := w.redis.Start(ctx); err != nil {
		return fmt.Errorf("start Redis again: %w", err)
	}
	return nil
}
