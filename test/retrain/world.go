package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/sessions"
	"genrec/test/harness"
)

// world is the servers, the services, and who reads from them.
type world struct {
	s               settings
	random          *rand.Rand
	kafka           *testservers.Kafka
	redis           *testservers.Redis
	rdb             *redis.Client
	store           *sessions.Store
	models, history string // folders
	shop            *shop
	services        []*harness.Child
	reader          *reader
	stopReading     func()

	kills, resumed, published, refused, halfPublished int
}

const partitions = 4

func newWorld(ctx context.Context, s settings, folder string) (*world, error) {
	w := &world{
		s: s, random: rand.New(rand.NewPCG(s.seed, 2)), models: filepath.Join(folder, "models"), history: filepath.Join(folder, "history"),
		reader: &reader{random: rand.New(rand.NewPCG(s.seed, 3))}, stopReading: func() {},
	}
	for _, name := range []string{"kafka", "redis"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			return w, err
		}
	}
	slog.Info("starting Kafka and Redis")
	var err error
	if w.redis, err = testservers.StartRedis(ctx, testservers.RedisConfig{Folder: filepath.Join(folder, "redis")}); err != nil {
		return w, err
	}
	if w.kafka, err = testservers.StartKafka(ctx, testservers.KafkaConfig{Jars: s.jars, Folder: filepath.Join(folder, "kafka")}); err != nil {
		return w, err
	}
	cluster := stream.Cluster{Brokers: []string{w.kafka.Address()}}
	if err := stream.EnsureTopics(ctx, cluster, stream.DefaultTopics(), partitions); err != nil {
		return w, err
	}
	w.rdb = redis.NewClient(&redis.Options{Addr: w.redis.Address(), ContextTimeoutEnabled: true})
	if w.store, err = sessions.Open(ctx, w.rdb, sessions.Options{}); err != nil {
		return w, err
	}
	w.shop = newShop(s.seed, cluster)
	w.reader.store, w.reader.users = w.store, w.shop.users
	for _, args := range [][]string{
		{"ingest", "--history", w.history},
		{"infer", "--models", w.models, "--refresh-rate", "1000"},
	} {
		started, err := w.serve(args...)
		if err != nil {
			return w, err
		}
		w.services = append(w.services, started)
	}
	return w, nil
}

// watch starts the reader.
func (w *world) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.reader.read(ctx)
	}()
	w.stopReading = func() { cancel(); <-done }
}

// healthy says which service has ended.
func (w *world) healthy() error {
	var errs []error
	for _, s := range w.services {
		errs = append(errs, s.Failed())
	}
	return errors.Join(errs...)
}

func (w *world) close() {
	w.stopReading()
	for _, s := range w.services {
		_ = s.Stop() // as asked for, or told by healthy before
	}
	if w.shop != nil {
		_ = w.shop.writer.Close()
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
}

func (w *world) servers() []string {
	return []string{"--kafka", w.kafka.Address(), "--redis", w.redis.Address()}
}

// check is an assertion of the story.
func check(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}
