package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/cmd/genrec/demo/shop"
	"genrec/pkg/backoff"
	"genrec/pkg/embedded"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// Size of the shop. The first events of each customer are sent before the test, the others while the
// page is tested.
const (
	users        = 900
	shopItems    = 600
	liveShare    = 0.3
	liveInterval = 120 * time.Millisecond
)

// environment has the servers, genrec, and the events of a shop.
type environment struct {
	settings settings
	servers  *embedded.Servers
	writer   *kafka.Writer
	models   string
	address  string
	log      *os.File
	genrec   instance
	live     []event.Event
	stopLive context.CancelFunc
	ended    chan struct{}
}

func newEnvironment(ctx context.Context, s settings, models string) (env *environment, err error) {
	env = &environment{settings: s, models: models}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.close())
		}
	}()
	if env.log, err = os.Create(filepath.Join(s.shots, "genrec.log")); err != nil {
		return env, err
	}
	if env.servers, err = embedded.Start(ctx, embedded.Config{}); err != nil {
		return env, err
	}
	cluster := stream.Cluster{Brokers: env.servers.KafkaBrokers()}
	topics := stream.DefaultTopics()
	if err := stream.EnsureTopics(ctx, cluster, topics, 4); err != nil {
		return env, err
	}
	env.writer = stream.NewWriter(cluster, topics.Interactions)
	if err := env.openShop(ctx); err != nil {
		return env, err
	}
	if env.address, err = testservers.FreeAddress(); err != nil {
		return env, err
	}
	return env, env.start(ctx)
}

// openShop sends the past events and keeps those to send during the test.
func (env *environment) openShop(ctx context.Context) error {
	s := shop.New(env.settings.seed, shopItems)
	rdb := redis.NewClient(&redis.Options{Addr: env.servers.RedisAddr()})
	if err := errors.Join(shop.WriteTitles(ctx, rdb, recs.DefaultPrefix, s.Items()), rdb.Close()); err != nil {
		return err
	}
	var past []event.Event
	began, n := time.Now().Add(-time.Hour), 0
	for u := range users {
		items := s.Sequence()
		first := int((1 - liveShare) * float64(len(items)))
		for i, item := range items {
			n++
			e := event.Event{ID: fmt.Sprintf("shop-%d", n), User: fmt.Sprintf("customer-%03d", u), Item: item, Type: event.DefaultType, Time: began.Add(time.Duration(i) * time.Second)}
			if i < first {
				past = append(past, e)
			} else {
				env.live = append(env.live, e)
			}
		}
	}
	return env.send(ctx, past...)
}

func (env *environment) send(ctx context.Context, events ...event.Event) error {
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		messages[i] = harness.Message(e)
	}
	return stream.Publish(ctx, slog.Default(), env.writer, messages...)
}

// sendLive sends the remaining events, one at a time, until the environment is closed.
func (env *environment) sendLive(ctx context.Context) {
	ctx, env.stopLive = context.WithCancel(ctx)
	env.ended = make(chan struct{})
	go func() {
		defer close(env.ended)
		// Interleaves the users.
		const stride = 7
		for i := range env.live {
			e := env.live[i*stride%len(env.live)]
			e.Time = time.Now()
			if env.send(ctx, e) != nil || backoff.Sleep(ctx, liveInterval) != nil {
				return
			}
		}
	}()
}

func (env *environment) url() string { return urlOf(env.address) }

// start runs genrec all with settings for small data and waits until it serves the page.
func (env *environment) start(ctx context.Context) (err error) {
	env.genrec, err = startInstance(ctx, env.log, env.settings.genrec, env.address,
		"all", "--kafka", env.servers.KafkaBrokers()[0], "--redis", env.servers.RedisAddr(),
		"--models", env.models, "--schedule", "never", "--device", "cpu", "--from-scratch-every", "0",
		"--pretrain-epochs", "1", "--finetune-epochs", "4",
		"--set", "batch_size=128", "--set", "learning_rate=0.002", "--set", "model.dropout=0.3", "--set", "validation_users=100")
	return err
}

// kill ends genrec with SIGKILL, as a crash would.
func (env *environment) kill() {
	_ = env.genrec.End(syscall.SIGKILL)
	env.genrec = instance{}
}

func (env *environment) close() (err error) {
	if env.stopLive != nil {
		env.stopLive()
		<-env.ended
	}
	if env.genrec.Process != nil {
		if stopped := env.genrec.Stop(); stopped != nil {
			err = fmt.Errorf("genrec exited with %w, see %s", stopped, env.log.Name())
		}
	}
	if env.writer != nil {
		err = errors.Join(err, env.writer.Close())
	}
	if env.servers != nil {
		env.servers.Close()
	}
	return errors.Join(err, env.log.Close())
}

// instance is a genrec process that serves the playground.
type instance struct {
	*testservers.Process
	address string
	log     *os.File // standard output and error
}

func (i instance) url() string { return urlOf(i.address) }

func urlOf(address string) string { return "http://" + address + "/" }

// startInstance starts genrec and waits until the page is served.
func startInstance(ctx context.Context, log *os.File, genrec, address string, args ...string) (i instance, err error) {
	i = instance{address: address, log: log}
	if i.Process, err = harness.Start(log, log, genrec, append(args, "--page", address)...); err != nil {
		return i, err
	}
	err = harness.Eventually(ctx, "genrec listens at "+address, 30*time.Second, func(ctx context.Context) error {
		if err := i.Failed(); err != nil {
			return backoff.Permanent(err)
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return i, fmt.Errorf("see %s: %w", log.Name(), err)
	}
	return i, nil
}
