package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
)

// Size of the shop. Its customers' first items are history, the others come while the page
// is tried.
const (
	users       = 900
	shopItems   = 600
	liveShare   = 0.3
	livePerBeat = 120 * time.Millisecond
)

// world is a shop, its servers, and genrec.
type world struct {
	settings settings
	servers  *embedded.Servers
	writer   *kafka.Writer
	models   string
	address  string
	log      *os.File
	genrec   instance
	live     []event.Event
	endLive  context.CancelFunc
	ended    chan struct{}
}

func newWorld(ctx context.Context, s settings, models string) (w *world, err error) {
	w = &world{settings: s, models: models}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.log, err = os.Create(filepath.Join(s.shots, "genrec.log")); err != nil {
		return w, err
	}
	if w.servers, err = embedded.Start(ctx, embedded.Config{}); err != nil {
		return w, err
	}
	cluster := stream.Cluster{Brokers: w.servers.KafkaBrokers()}
	topics := stream.DefaultTopics()
	if err := stream.EnsureTopics(ctx, cluster, topics, 4); err != nil {
		return w, err
	}
	w.writer = stream.NewWriter(cluster, topics.Interactions)
	if err := w.openShop(ctx); err != nil {
		return w, err
	}
	if w.address, err = freeAddress(ctx); err != nil {
		return w, err
	}
	return w, w.start(ctx)
}

// openShop sends what has happened so far, and keeps what is to happen.
func (w *world) openShop(ctx context.Context) error {
	s := shop.New(w.settings.seed, shopItems)
	rdb := redis.NewClient(&redis.Options{Addr: w.servers.RedisAddr()})
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
				w.live = append(w.live, e)
			}
		}
	}
	return w.send(ctx, past...)
}

func (w *world) send(ctx context.Context, events ...event.Event) error {
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		messages[i] = kafka.Message{Key: []byte(e.User), Value: value}
	}
	return stream.Publish(ctx, slog.Default(), w.writer, messages...)
}

// goOn lets customers take more, one after the other, until the world is closed.
func (w *world) goOn(ctx context.Context) {
	ctx, w.endLive = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		// Users come in turn, so that nobody's events are all at once.
		const stride = 7
		for i := range w.live {
			e := w.live[i*stride%len(w.live)]
			e.Time = time.Now()
			if w.send(ctx, e) != nil || backoff.Sleep(ctx, livePerBeat) != nil {
				return
			}
		}
	}()
}

func (w *world) url() string { return urlOf(w.address) }

// start runs genrec with a recipe for small data, and waits until it answers.
func (w *world) start(ctx context.Context) (err error) {
	w.genrec, err = startInstance(ctx, w.log, w.settings.genrec, w.address,
		"all", "--kafka", w.servers.KafkaBrokers()[0], "--redis", w.servers.RedisAddr(),
		"--models", w.models, "--schedule", "never", "--device", "cpu", "--from-scratch-every", "0",
		"--pretrain-epochs", "1", "--finetune-epochs", "4",
		"--set", "batch_size=128", "--set", "learning_rate=0.002", "--set", "model.dropout=0.3", "--set", "validation_users=100")
	return err
}

// kill ends genrec as a crash does.
func (w *world) kill() {
	_ = w.genrec.End(syscall.SIGKILL)
	w.genrec = instance{}
}

func (w *world) close() (err error) {
	if w.endLive != nil {
		w.endLive()
		<-w.ended
	}
	if w.genrec.Child != nil {
		if stopped := w.genrec.Stop(); stopped != nil {
			err = fmt.Errorf("genrec ended with %w, see %s", stopped, w.log.Name())
		}
	}
	if w.writer != nil {
		err = errors.Join(err, w.writer.Close())
	}
	if w.servers != nil {
		w.servers.Close()
	}
	return errors.Join(err, w.log.Close())
}
