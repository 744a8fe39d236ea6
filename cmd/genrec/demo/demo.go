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
	Page  Page
	// Stay goes on answering after the replay, until the context ends.
	Stay bool
	// Measured is told what was found, once it is.
	Measured func(Summary)
}

// Page is where a person watches. *playground.Playground is one.
type Page interface {
	Say(status string)
	Written(inference.Written)
	// Train lets one training run at a time.
	Train(ctx context.Context, train func(context.Context) (outcome string, err error)) error
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
func Run(ctx context.Context, c Config) error {
	if c.Live < 0 || c.Live >= len(c.Events) {
		return fmt.Errorf("%d live events of %d: some must be history", c.Live, len(c.Events))
	}
	d := &demo{Config: c, popularity: newPopularity(), answered: newAnswered()}
	d.watch = newWatch(c.Events[len(c.Events)-c.Live:], d.say)
	d.writer = stream.NewWriter(c.Kafka, stream.DefaultTopics().Interactions)
	d.ingester = ingest.New(ingest.Config{Kafka: c.Kafka}, c.Store)

	// The services outlive the play by a moment: they stop when it is over.
	services, serve := errgroup.WithContext(ctx)
	serve, stop := context.WithCancel(serve)
	services.Go(func() error { return d.ingester.Run(serve) })
	err := d.play(serve, services)
	stop()
	return errors.Join(err, services.Wait(), d.writer.Close())
}

func (d *demo) play(ctx context.Context, services *errgroup.Group) error {
	history, live := d.Events[:len(d.Events)-d.Live], d.Events[len(d.Events)-d.Live:]
	// Nobody else trains before there is a first model.
	err := d.Page.Train(ctx, func(ctx context.Context) (outcome string, err error) {
		d.step("1/5  history: %d events of the past go through Kafka into Redis", len(history))
		if err := d.replayHistory(ctx, history); err != nil {
			return "", err
		}
		d.step("2/5  first model: pretraining and finetuning on what has accumulated")
		taken, sequences, err := d.snapshot(ctx)
		if err != nil {
			return "", err
		}
		return d.trainOn(ctx, taken, sequences, d.Retrain.Progress)
	})
	if err != nil {
		return err
	}

	d.step("3/5  first recommendations for everyone")
	worker := inference.New(inference.Config{Kafka: d.Kafka, OnWritten: d.written}, d.Serve, d.Store)
	services.Go(func() error { return worker.Run(ctx) })
	if err := d.awaitFirst(ctx, Users(history)); err != nil {
		return err
	}

	d.step("4/5  live: %d events at %.0f a second; each is answered with new recommendations", len(live), d.Rate)
	if err := d.replayLive(ctx, live); err != nil {
		return err
	}
	summary := d.summary()
	d.Measured(summary)
	if d.Stay {
		d.Page.Say("The replay is over: " + summary.words() + ". You can go on.")
		<-ctx.Done()
	}
	return nil
}

// step says what begins now, on the page too.
func (d *demo) step(format string, values ...any) {
	d.say(format, values...)
	d.Page.Say("Step " + fmt.Sprintf(format, values...))
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

func (d *demo) snapshot(ctx context.Context) (*snapshot.Snapshot, []catalog.Sequence, error) {
	return retrain.Collect(ctx, snapshot.Config{Hot: d.Store}, d.Models)
}

// Train makes one more model of what is in Redis now, and says what came of it.
func Train(ctx context.Context, c retrain.Config, store *sessions.Store, models *registry.Registry) (outcome string, err error) {
	var sequences []catalog.Sequence
	if c.Snapshot, sequences, err = retrain.Collect(ctx, snapshot.Config{Hot: store}, models); err != nil {
		return "", err
	}
	report, err := retrain.Run(ctx, c, sequences, models)
	if err != nil {
		return "", err
	}
	return report.Outcome(), nil
}

// written is called by the worker for each list that it writes.
func (d *demo) written(w inference.Written) {
	d.Page.Written(w)
	d.answered.add(w.Recommendations.User)
	for _, at := range w.ProducedAt {
		if took, counts := d.freshness.add(at, w.WrittenAt); counts {
			d.watch.written(w, took)
		}
	}
}
