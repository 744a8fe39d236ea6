// Package demo shows genrec at work on one machine: it replays a dataset in time order through
// Kafka while recommendations are regenerated, retrains in the middle, and measures hit rates
// and freshness.
//
// The last events of the dataset are live: before each one, the user's list is compared with
// it, so that the hit rate is that of real predictions. All older ones are past events, on which
// the first model is trained.
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
	"genrec/serve/playground"
	"genrec/sessions"
)

// Config configures a demo.
type Config struct {
	Events     []event.Event      // in time order
	Live       int                // number of the last events that are replayed at Rate
	Rate       float64            // live events per second
	Kafka      stream.Cluster     // with the topics
	Store      *sessions.Store    // the sessions in Redis
	Models     *registry.Registry // where versions are published
	Serve      inference.Models   // serves the versions of Models
	Retrain    retrain.Config     // of both trainings; its Progress shows the first one
	Background retrain.Progress   // shows the training during the live events, in whole lines
	Out        io.Writer          // for people
	Page       Page               // the web page
	Stay       bool               // keep running after the replay, until the context ends
	OnSummary  func(Summary)      // receives the result
}

// Page is the web page of the demo. *playground.Playground implements it.
type Page interface {
	// SetStatus shows a line of status.
	SetStatus(status string)
	// Written is called with each list that is written.
	Written(playground.Written)
	// Train runs a training when no other one runs.
	Train(ctx context.Context, train func(context.Context) (outcome string, err error)) error
}

// Shares of the live events before and after the retraining.
const (
	beforeRetraining = 0.2
	afterRetraining  = 0.2
)

type demo struct {
	Config
	ingester    *ingest.Ingester
	writer      *kafka.Writer
	popularity  *popularity
	freshness   freshness
	examples    *examples
	recommended recommended

	produced int // events
	hits     hits
	versions int  // published
	replaced bool // the second version replaced the first one

	lastTraining time.Duration
}

// Run runs the demo.
func Run(ctx context.Context, c Config) error {
	if c.Live < 0 || c.Live >= len(c.Events) {
		return fmt.Errorf("%d live events of %d: some must be past events", c.Live, len(c.Events))
	}
	d := &demo{Config: c, popularity: newPopularity(), recommended: newRecommended()}
	d.examples = newExamples(c.Events[len(c.Events)-c.Live:], d.say)
	d.writer = stream.NewWriter(c.Kafka, stream.DefaultTopics().Interactions)
	d.ingester = ingest.New(ingest.Config{Kafka: c.Kafka}, c.Store)

	group, groupCtx := errgroup.WithContext(ctx)
	groupCtx, stop := context.WithCancel(groupCtx)
	group.Go(func() error { return d.ingester.Run(groupCtx) })
	err := d.run(groupCtx, group)
	stop()
	return errors.Join(err, group.Wait(), d.writer.Close())
}

func (d *demo) run(ctx context.Context, services *errgroup.Group) error {
	past, live := d.Events[:len(d.Events)-d.Live], d.Events[len(d.Events)-d.Live:]
	// Hold the page's turn, so that visitors cannot train before there is a first model.
	err := d.Page.Train(ctx, func(ctx context.Context) (outcome string, err error) {
		d.step("1/5  past events: sending %d through Kafka into Redis", len(past))
		if err := d.replayPast(ctx, past); err != nil {
			return "", err
		}
		d.step("2/5  first model: pretraining and finetuning on the past events")
		snapshot, sequences, err := d.snapshot(ctx)
		if err != nil {
			return "", err
		}
		return d.trainOn(ctx, snapshot, sequences, d.Retrain.Progress)
	})
	if err != nil {
		return err
	}

	d.step("3/5  first recommendations for all users")
	worker := inference.New(inference.Config{Kafka: d.Kafka, OnWritten: d.written}, d.Serve, d.Store)
	services.Go(func() error { return worker.Run(ctx) })
	if err := d.awaitFirst(ctx, Users(past)); err != nil {
		return err
	}

	d.step("4/5  live: %d events, %.0f per second; after each, the user gets new recommendations", len(live), d.Rate)
	if err := d.replayLive(ctx, live); err != nil {
		return err
	}
	summary := d.summary()
	d.OnSummary(summary)
	if d.Stay {
		d.Page.SetStatus("The replay is over: " + summary.sentence() + ". You can continue to use this page.")
		<-ctx.Done()
	}
	return nil
}

// step announces a step, on the page, too.
func (d *demo) step(format string, values ...any) {
	d.say(format, values...)
	d.Page.SetStatus("Step " + fmt.Sprintf(format, values...))
}

func (d *demo) say(format string, values ...any) { fmt.Fprintf(d.Out, format+"\n", values...) }

// Users is the number of different users of events.
func Users(events []event.Event) int {
	users := make(map[string]bool)
	for _, e := range events {
		users[e.User] = true
	}
	return len(users)
}

func (d *demo) snapshot(ctx context.Context) (*snapshot.Snapshot, []catalog.Sequence, error) {
	return retrain.Collect(ctx, snapshot.Config{Sequences: d.Store}, d.Models)
}

// Train trains another model on what Redis holds now, and returns its outcome for people.
func Train(ctx context.Context, c retrain.Config, store *sessions.Store, models *registry.Registry) (outcome string, err error) {
	var sequences []catalog.Sequence
	if c.Snapshot, sequences, err = retrain.Collect(ctx, snapshot.Config{Sequences: store}, models); err != nil {
		return "", err
	}
	report, err := retrain.Run(ctx, c, sequences, models)
	if err != nil {
		return "", err
	}
	return report.Outcome(), nil
}

// written is called by the inference worker with each list that it writes.
func (d *demo) written(w inference.Written) {
	d.Page.Written(playground.Written(w))
	d.recommended.add(w.Recommendations.User)
	for _, at := range w.ProducedAt {
		if took, counts := d.freshness.add(at, w.WrittenAt); counts {
			d.examples.written(w, took)
		}
	}
}
