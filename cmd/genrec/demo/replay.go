package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/model/catalog"
	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/retrain"
	"genrec/retrain/snapshot"
)

const (
	pastBatch      = 1000
	pollInterval   = 20 * time.Millisecond
	reportInterval = 10 * time.Second
)

// replayPast produces past events as fast as ingest consumes them.
func (d *demo) replayPast(ctx context.Context, past []event.Event) error {
	progress := d.Retrain.Progress
	progress.Start("past events", len(past), 0)
	defer progress.Finish()
	for batch := range slices.Chunk(past, pastBatch) {
		if err := d.produce(ctx, batch...); err != nil {
			return err
		}
		if err := d.awaitIngested(ctx, d.produced-pastBatch); err != nil {
			return err
		}
		for range batch {
			progress.Step(0)
		}
	}
	return d.awaitIngested(ctx, d.produced)
}

func (d *demo) produce(ctx context.Context, events ...event.Event) error {
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event %q: %w", e.ID, err)
		}
		messages[i] = kafka.Message{Key: []byte(e.User), Value: value}
		d.popularity.add(e.User, e.Item)
	}
	if err := stream.Publish(ctx, slog.Default(), d.writer, messages...); err != nil {
		return err
	}
	d.produced += len(events)
	return nil
}

// awaitIngested waits until ingest has read a number of events.
func (d *demo) awaitIngested(ctx context.Context, events int) error {
	return d.await(ctx, func() bool { return d.ingester.Stats().Read >= int64(events) })
}

func (d *demo) await(ctx context.Context, done func() bool) error {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
	return nil
}

// awaitFirst waits until every user has recommendations.
func (d *demo) awaitFirst(ctx context.Context, users int) error {
	progress := d.Retrain.Progress
	progress.Start("first recommendations", users, 0)
	defer progress.Finish()
	shown := 0
	return d.await(ctx, func() bool {
		for now := d.recommended.count(); shown < now; shown++ {
			progress.Step(0)
		}
		return shown >= users
	})
}

// replayLive produces events at the configured rate, in three parts. After the first part, a
// training starts on a snapshot. The second part is produced during the training, slow enough
// to last as long. The third part is produced after it.
func (d *demo) replayLive(ctx context.Context, live []event.Event) error {
	d.freshness.start()
	first := int(beforeRetraining * float64(len(live)))
	last := len(live) - int(afterRetraining*float64(len(live)))
	if err := d.send(ctx, d.Rate, live[:first]); err != nil {
		return err
	}

	// A snapshot of exactly these events gives the same model in every run.
	if err := d.awaitIngested(ctx, d.produced); err != nil {
		return err
	}
	data, sequences, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	d.say("  retraining on %d events while the stream goes on", d.produced)
	trained := make(chan error, 1)
	go func() {
		trained <- d.Page.Train(ctx, func(ctx context.Context) (string, error) { return d.trainOn(ctx, data, sequences, d.Background) })
	}()
	err = d.send(ctx, d.rateDuringTraining(last-first), live[first:last])
	if err := errors.Join(err, <-trained); err != nil {
		return err
	}
	if err := d.send(ctx, d.Rate, live[last:]); err != nil {
		return err
	}
	// Wait for the recommendations of the last events.
	if err := d.awaitIngested(ctx, d.produced); err != nil {
		return err
	}
	return d.settle(ctx)
}

// rateDuringTraining is the rate at which a number of events lasts about as long as the
// training at the same time. It is estimated from the first training, which had the machine to
// itself.
func (d *demo) rateDuringTraining(events int) float64 {
	const slowdown = 1.3
	return min(d.Rate, float64(events)/(slowdown*d.lastTraining.Seconds()))
}

// settle waits until no more recommendations are written.
func (d *demo) settle(ctx context.Context) error {
	const quiet = 500 * time.Millisecond
	written, since := d.freshness.count(), time.Now()
	return d.await(ctx, func() bool {
		if now := d.freshness.count(); now != written {
			written, since = now, time.Now()
		}
		return time.Since(since) > quiet
	})
}

func (d *demo) trainOn(ctx context.Context, data *snapshot.Snapshot, sequences []catalog.Sequence, progress retrain.Progress) (outcome string, err error) {
	config := d.Retrain
	config.Snapshot, config.Progress = data, progress
	started := time.Now()
	report, err := retrain.Run(ctx, config, sequences, d.Models)
	if err != nil {
		return "", err
	}
	d.lastTraining = time.Since(started)
	d.versions++
	d.replaced = d.versions > 1 && report.Serves()
	d.say("  model %s: %d items, %d users, %d parameters, trained in %.0f s; leave-one-out HR@10 %.4f, NDCG@10 %.4f",
		report.Version, report.Items, report.Users, report.Parameters, report.TrainSeconds,
		report.LeaveOneOut.HR10, report.LeaveOneOut.NDCG10)
	d.say("  gate: %s", report.Outcome())
	if d.versions == 1 && !report.Serves() {
		return "", fmt.Errorf("no model serves: %s", report.Outcome())
	}
	return report.Outcome(), nil
}

func (d *demo) send(ctx context.Context, rate float64, events []event.Event) error {
	limiter := newLimiter(rate)
	reported := time.Now()
	for _, e := range events {
		if err := limiter.wait(ctx); err != nil {
			return err
		}
		if err := d.countHits(ctx, e); err != nil {
			return err
		}
		d.examples.produced(e)
		if err := d.produce(ctx, e); err != nil {
			return err
		}
		if time.Since(reported) >= reportInterval {
			reported = time.Now()
			d.say("  %d of %d events | hit rate at 10: %.4f, most popular items: %.4f | freshness p50 %d ms, p99 %d ms",
				d.hits.events, d.Live, d.hits.rate(), d.hits.popularityRate(),
				d.freshness.quantile(0.5).Milliseconds(), d.freshness.quantile(0.99).Milliseconds())
		}
	}
	return nil
}

// countHits compares an event with the user's list and the popular items before it.
func (d *demo) countHits(ctx context.Context, e event.Event) error {
	list, err := d.Store.List(ctx, e.User)
	if err != nil && !errors.Is(err, recs.ErrNotFound) {
		return err
	}
	top := list.Items[:min(cutOff, len(list.Items))]
	d.hits.events++
	if slices.ContainsFunc(top, func(item userstate.ScoredItem) bool { return item.Item == e.Item }) {
		d.hits.model++
	}
	if d.popularity.contains(e.User, e.Item, cutOff) {
		d.hits.popularity++
	}
	return nil
}

// limiter limits events to a steady rate. Delays of more than 100 ms are not made up for.
type limiter struct {
	interval time.Duration
	next     time.Time
}

func newLimiter(rate float64) *limiter {
	return &limiter{interval: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

func (l *limiter) wait(ctx context.Context) error {
	const maxDebt = 100 * time.Millisecond
	if earliest := time.Now().Add(-maxDebt); l.next.Before(earliest) {
		l.next = earliest
	}
	until := l.next
	l.next = l.next.Add(l.interval)
	return backoff.Sleep(ctx, time.Until(until))
}

// recommended is the set of users that have recommendations.
type recommended struct {
	mu    sync.Mutex
	users map[string]struct{}
}

func newRecommended() recommended { return recommended{users: make(map[string]struct{})} }

func (r *recommended) add(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users[user] = struct{}{}
}

func (r *recommended) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.users)
}
