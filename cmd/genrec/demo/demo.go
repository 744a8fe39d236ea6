// Package demo shows the whole product at work on one machine: it replays a
// dataset in time order through Kafka while the recommender answers, retrains in
// the middle, and measures.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/inference"
	"genrec/ingest"
	"genrec/model/catalog"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/retrain"
	"genrec/retrain/snapshot"
	"genrec/sessions"
)

// Config of a demonstration.
type Config struct {
	Events  []event.Event // in time order
	Live    int           // how many of the last events are replayed at Rate
	Rate    float64       // live events per second
	Kafka   stream.Cluster
	Store   *sessions.Store
	Models  *registry.Registry
	Serve   inference.Models
	Retrain retrain.Config
	// Aside shows the training that runs while the stream goes on, in whole lines
	// that can stand among others.
	Aside retrain.Progress
	Out   io.Writer
}

// Parts of the live events before and after the retraining.
const (
	beforeRetraining = 0.2
	afterRetraining  = 0.2
)

type demo struct {
	Config
	ingester   *ingest.Ingester
	writer     *kafka.Writer
	popularity *popularity
	freshness  freshness
	watch      *watch
	answered   answered

	produced int
	score    score
	versions int
	swapped  bool // the second one took the place of the first

	lastTraining time.Duration
}

// Run plays the demonstration and measures it.
func Run(ctx context.Context, c Config) (Summary, error) {
	if c.Live < 0 || c.Live >= len(c.Events) {
		return Summary{}, fmt.Errorf("%d live events of %d: some must be history", c.Live, len(c.Events))
	}
	d := &demo{Config: c, popularity: newPopularity(), answered: newAnswered()}
	d.watch = newWatch(c.Events[len(c.Events)-c.Live:], d.say)
	d.writer = stream.NewWriter(c.Kafka, stream.DefaultTopics().Interactions)
	d.ingester = ingest.New(ingest.Config{Kafka: c.Kafka}, c.Store)

	// The services outlive the play by a moment: they stop when it is over.
	services, serve := errgroup.WithContext(ctx)
	serve, stop := context.WithCancel(serve)
	services.Go(func() error { return d.ingester.Run(serve) })
	summary, err := d.play(serve, services)
	stop()
	return summary, errors.Join(err, services.Wait(), d.writer.Close())
}

func (d *demo) play(ctx context.Context, services *errgroup.Group) (Summary, error) {
	history, live := d.Events[:len(d.Events)-d.Live], d.Events[len(d.Events)-d.Live:]
	d.say("1/5  history: %d events of the past go through Kafka into Redis", len(history))
	if err := d.replayHistory(ctx, history); err != nil {
		return Summary{}, err
	}

	d.say("2/5  first model: pretraining and finetuning on what has accumulated")
	if err := d.train(ctx); err != nil {
		return Summary{}, err
	}

	d.say("3/5  first recommendations for everyone")
	worker := inference.New(inference.Config{Kafka: d.Kafka, OnWritten: d.written}, d.Serve, d.Store)
	services.Go(func() error { return worker.Run(ctx) })
	if err := d.awaitFirst(ctx, Users(history)); err != nil {
		return Summary{}, err
	}

	d.say("4/5  live: %d events at %.0f a second; each is answered with new recommendations", len(live), d.Rate)
	if err := d.replayLive(ctx, live); err != nil {
		return Summary{}, err
	}
	return d.summary(), nil
}

func (d *demo) say(format string, values ...any) { fmt.Fprintf(d.Out, format+"\n", values...) }

// Users is the number of different users of events.
func Users(events []event.Event) int {
	met := make(map[string]bool)
	for _, e := range events {
		met[e.User] = true
	}
	return len(met)
}

// train makes a model of what is in Redis now.
func (d *demo) train(ctx context.Context) error {
	taken, sequences, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	return d.trainOn(ctx, taken, sequences, d.Retrain.Progress)
}

func (d *demo) snapshot(ctx context.Context) (*snapshot.Snapshot, []catalog.Sequence, error) {
	return retrain.Collect(ctx, snapshot.Config{Hot: d.Store}, d.Models)
}

// written is called by the worker for each list that it writes.
func (d *demo) written(w inference.Written) {
	d.answered.add(w.Recommendations.User)
	for _, at := range w.ProducedAt {
		if took, counts := d.freshness.add(at, w.WrittenAt); counts {
			d.watch.written(w, took)
		}
	}
}
