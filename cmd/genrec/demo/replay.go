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
	historyBatch = 1000
	pollInterval = 20 * time.Millisecond
	sayInterval  = 10 * time.Second
	cutOff       = 10 // of the hit rate
)

// replayHistory sends events as fast as ingest takes them.
func (d *demo) replayHistory(ctx context.Context, history []event.Event) error {
	progress := d.Retrain.Progress
	progress.Start("history", len(history), 0)
	defer progress.Finish()
	for batch := range slices.Chunk(history, historyBatch) {
		if err := d.produce(ctx, batch...); err != nil {
			return err
		}
		if err := d.awaitIngested(ctx, d.produced-historyBatch); err != nil {
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

// awaitIngested waits until ingest has finished a number of events.
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
		for now := d.answered.count(); shown < now; shown++ {
			progress.Step(0)
		}
		return shown >= users
	})
}

// replayLive sends events at the configured rate. After the first part a snapshot
// is taken and a training runs on it while the middle part goes on, slowed down to
// last as long; the last part waits for the new version.
func (d *demo) replayLive(ctx context.Context, live []event.Event) error {
	d.freshness.start()
	first := int(beforeRetraining * float64(len(live)))
	last := len(live) - int(afterRetraining*float64(len(live)))
	if err := d.send(ctx, d.Rate, live[:first]); err != nil {
		return err
	}

	// A snapshot of exactly these events makes the same model in every run.
	if err := d.awaitIngested(ctx, d.produced); err != nil {
		return err
	}
	taken, sequences, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	d.say("  retraining on %d events while the stream goes on", d.produced)
	trained := make(chan error, 1)
	go func() {
		trained <- d.Page.Train(ctx, func(ctx context.Context) (string, error) { return d.trainOn(ctx, taken, sequences, d.Aside) })
	}()
	err = d.send(ctx, d.whileTraining(last-first), live[first:last])
	if err := errors.Join(err, <-trained); err != nil {
		return err
	}
	if err := d.send(ctx, d.Rate, live[last:]); err != nil {
		return err
	}
	// Every event has its answer before the measuring ends.
	if err := d.awaitIngested(ctx, d.produced); err != nil {
		return err
	}
	return d.settle(ctx)
}

// whileTraining is the rate at which a number of events lasts as long as the
// training beside them, judged by the one before, which had the machine to itself.
func (d *demo) whileTraining(events int) float64 {
	const slowdown = 1.3
	return min(d.Rate, float64(events)/(slowdown*d.lastTraining.Seconds()))
}

// settle waits until no more answers come.
func (d *demo) settle(ctx context.Context) error {
	const quiet = 500 * time.Millisecond
	answers, since := d.freshness.count(), time.Now()
	return d.await(ctx, func() bool {
		if now := d.freshness.count(); now != answers {
			answers, since = now, time.Now()
		}
		return time.Since(since) > quiet
	})
}

func (d *demo) trainOn(ctx context.Context, taken *snapshot.Snapshot, sequences []catalog.Sequence, progress retrain.Progress) (outcome string, err error) {
	config := d.Retrain
	config.Snapshot, config.Progress = taken, progress
	started := time.Now()
	report, err := retrain.Run(ctx, config, sequences, d.Models)
	if err != nil {
		return "", err
	}
	d.lastTraining = time.Since(started)
	d.versions++
	d.swapped = d.versions > 1 && report.Serves()
	d.say("  model %s: %d items, %d users, %d parameters, trained in %.0f s; leave-one-out HR@10 %.4f, NDCG@10 %.4f",
		report.Version, report.Items, report.Users, report.Parameters, report.TrainSeconds,
		report.LeaveOneOut.HR10, report.LeaveOneOut.NDCG10)
	d.say("  the gate: %s", report.Outcome())
	if d.versions == 1 && !report.Serves() {
		return "", fmt.Errorf("there is no model to go on with: %s", report.Outcome())
	}
	return report.Outcome(), nil
}

func (d *demo) send(ctx context.Context, rate float64, events []event.Event) error {
	pace := newPace(rate)
	said := time.Now()
	for _, e := range events {
		if err := pace.wait(ctx); err != nil {
			return err
		}
		if err := d.judge(ctx, e); err != nil {
			return err
		}
		d.watch.produced(e)
		if err := d.produce(ctx, e); err != nil {
			return err
		}
		if time.Since(said) >= sayInterval {
			said = time.Now()
			d.say("  %d of %d events | hit rate at 10: %.4f, popular items: %.4f | freshness p50 %d ms, p99 %d ms",
				d.score.events, d.Live, d.score.rate(), d.score.popularRate(),
				d.freshness.quantile(0.5).Milliseconds(), d.freshness.quantile(0.99).Milliseconds())
		}
	}
	return nil
}

// judge compares an event with the lists that stand before it.
func (d *demo) judge(ctx context.Context, e event.Event) error {
	list, err := d.Store.List(ctx, e.User)
	if err != nil && !errors.Is(err, recs.ErrNotFound) {
		return err
	}
	top := list.Items[:min(cutOff, len(list.Items))]
	d.score.events++
	if slices.ContainsFunc(top, func(item userstate.ScoredItem) bool { return item.Item == e.Item }) {
		d.score.hits++
	}
	if d.popularity.contains(e.User, e.Item, cutOff) {
		d.score.popularHits++
	}
	return nil
}

// pace lets events through at a steady rate, without making up for a stream that
// could not keep up for long.
type pace struct {
	interval time.Duration
	next     time.Time
}

func newPace(rate float64) *pace {
	return &pace{interval: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

func (p *pace) wait(ctx context.Context) error {
	const longestDebt = 100 * time.Millisecond
	if earliest := time.Now().Add(-longestDebt); p.next.Before(earliest) {
		p.next = earliest
	}
	until := p.next
	p.next = p.next.Add(p.interval)
	return backoff.Sleep(ctx, time.Until(until))
}

// answered is the set of users that have recommendations.
type answered struct {
	mu    sync.Mutex
	users map[string]struct{}
}

func newAnswered() answered { return answered{users: make(map[string]struct{})} }

func (a *answered) add(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[user] = struct{}{}
}

func (a *answered) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.users)
}
