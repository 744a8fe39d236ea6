// Package engine measures the users per second of a model.Recommender alone, without Kafka
// and Redis. The benchmark stream runs it in a separate process, to keep the threads and GPU memory of
// libtorch out of the load generator. Its last line is JSON.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/pkg/dataset"
)

type settings struct {
	version, device, precision, requests string
	allowSeen                            bool
	batches, callers                     string
	duration                             time.Duration
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.version, "version", "", "`FOLDER` of the model version")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&s.precision, "precision", model.Float32.String(), "precision, as in genrec infer")
	flags.BoolVar(&s.allowSeen, "allow-seen", false, "recommend known items, too, as in genrec infer")
	flags.StringVar(&s.requests, "requests", "", "`FILE` of users, one per line: user item item ...")
	flags.StringVar(&s.batches, "batches", "64,256,1024", "users per call; several to try")
	flags.StringVar(&s.callers, "callers", "1,2,4", "concurrent calls; several to try")
	flags.DurationVar(&s.duration, "duration", 5*time.Second, "duration of each measurement, after a warm-up")
	return func(ctx context.Context) error { return run(ctx, s) }
}

// result is a measurement. The best one is the last line.
type result struct {
	Batch     int     `json:"batch"`
	Callers   int     `json:"callers"`
	PerSecond float64 `json:"per_second"`
}

func run(ctx context.Context, s settings) (err error) {
	batches, err := measure.Sizes("batches", s.batches)
	if err != nil {
		return err
	}
	callers, err := measure.Sizes("callers", s.callers)
	if err != nil {
		return err
	}
	e, err := open(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.recommender.Close()) }()
	best, err := e.best(ctx, batches, callers, s.duration)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(best)
}

type engine struct {
	recommender *model.Recommender
	queries     []model.Query
	next        atomic.Int64 // index of the next query, modulo their number
}

// open loads the model as genrec infer does.
func open(s settings) (*engine, error) {
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return nil, err
	}
	ranker := model.DefaultRankerConfig()
	ranker.AllowSeen = s.allowSeen
	if ranker.Precision, err = model.ParsePrecision(s.precision); err != nil {
		return nil, err
	}
	if !ranker.Precision.SupportedBy(device) {
		ranker.Precision = model.Float32
	}
	users, err := dataset.Read(s.requests)
	if err != nil {
		return nil, err
	}
	e := &engine{}
	for _, u := range users {
		e.queries = append(e.queries, model.Query{User: u.ID, Items: u.Items})
	}
	e.recommender, err = model.OpenRecommender(s.version, device, ranker)
	return e, err
}

// best tries all batch sizes with the second number of callers, and then all numbers of callers with the
// best batch size.
func (e *engine) best(ctx context.Context, batches, callers []int, d time.Duration) (best result, err error) {
	try := func(batch, callers int) error {
		perSecond, err := e.measure(ctx, batch, callers, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  engine: batches of %d, %d callers: %.0f users/s\n", batch, callers, perSecond)
		if perSecond > best.PerSecond {
			best = result{Batch: batch, Callers: callers, PerSecond: perSecond}
		}
		return nil
	}
	first := callers[min(1, len(callers)-1)]
	for _, batch := range batches {
		if err := try(batch, first); err != nil {
			return best, err
		}
	}
	batch := best.Batch
	for _, n := range callers {
		if n != first {
			if err := try(batch, n); err != nil {
				return best, err
			}
		}
	}
	return best, nil
}

// measure returns the users per second of concurrent calls with different batches.
func (e *engine) measure(ctx context.Context, batch, callers int, d time.Duration) (float64, error) {
	for range 2 { // warm up caches, compiled code and CUDA graphs of this batch size
		if _, err := e.run(ctx, batch, callers, 0); err != nil {
			return 0, err
		}
	}
	return e.run(ctx, batch, callers, d)
}

// run runs at least one call of each caller.
func (e *engine) run(ctx context.Context, batch, callers int, d time.Duration) (perSecond float64, err error) {
	var (
		wait  sync.WaitGroup
		done  atomic.Int64
		errs  = make([]error, callers)
		start = time.Now()
	)
	for i := range callers {
		wait.Go(func() {
			for {
				lists, _, err := e.recommender.Recommend(ctx, e.nextQueries(batch))
				if err == nil && len(lists) != batch {
					err = fmt.Errorf("%d lists for %d users", len(lists), batch)
				}
				if err != nil {
					errs[i] = err
					return
				}
				done.Add(int64(batch))
				if time.Since(start) >= d {
					return
				}
			}
		})
	}
	wait.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

// nextQueries returns the next queries, and the first ones after the last.
func (e *engine) nextQueries(batch int) []model.Query {
	end := int(e.next.Add(int64(batch)))
	queries := make([]model.Query, batch)
	for i := range queries {
		queries[i] = e.queries[(end-batch+i)%len(e.queries)]
	}
	return queries
}
