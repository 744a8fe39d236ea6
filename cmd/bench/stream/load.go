package stream

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	sampleEvery  = 250 * time.Millisecond
	warmUp       = 4 * time.Second // at each rate, at most a third of the window
	drainTimeout = 2 * time.Minute
	recurrence   = 4.0 // seconds within which no user should have a second event: more than divergedBacklog
)

// load is a production rate with the window to measure.
type load struct {
	rate      float64
	window    time.Duration
	stopEarly bool       // once the backlog has diverged
	probes    *prober    // may be nil
	observers []observer // of the window
}

// observer measures something during a window.
type observer interface {
	begin(ctx context.Context) error
	end(ctx context.Context) error
}

// loadResult is the result of a load.
type loadResult struct {
	trend
	served   float64 // lists per second
	diverged bool
	behind   bool               // the generator did not reach the rate
	cores    map[string]float64 // used, by name of the processes
}

func (l loadResult) ok() bool { return l.steady() && !l.diverged && !l.behind }

func (l loadResult) String() string {
	switch {
	case l.behind:
		return "FAILED: the load generator did not keep up with its schedule"
	case l.diverged:
		return fmt.Sprintf("not steady: stopped at %.1f s of backlog, %.0f lists/s", l.last, l.served)
	case !l.steady():
		return "not steady: " + l.trend.String()
	}
	return "steady: " + l.trend.String()
}

// run produces events at a rate, samples the backlog, and waits until it is empty.
func (t *trial) run(ctx context.Context, l load) (result loadResult, err error) {
	if users := float64(len(t.initialState.workload.users)); users < recurrence*l.rate {
		fmt.Printf("  note: at %.0f events/s a user has an event every %.1f s, and refreshes may coalesce: increase -users\n", l.rate, users/l.rate)
	}
	if err := t.initialState.restore(ctx); err != nil {
		return result, err
	}
	g := &generator{client: t.producer, workload: t.initialState.workload, rate: l.rate, start: time.Now()}
	stop, stopProbes := make(chan struct{}), make(chan struct{})
	var producing, probing sync.WaitGroup
	var probeErr error
	if l.probes != nil {
		g.onEvent = l.probes.add
		probing.Go(func() { probeErr = l.probes.watch(ctx, stopProbes) })
	}
	producing.Go(func() { g.run(ctx, stop) })
	result, err = t.watch(ctx, g, l)
	close(stop)
	producing.Wait()
	if err == nil {
		err = t.producer.Flush(ctx)
	}
	if err == nil {
		err = t.meter.drain(ctx, t.services, drainTimeout)
	}
	close(stopProbes)
	probing.Wait()
	switch {
	case err != nil:
		return result, err
	case probeErr != nil:
		return result, probeErr
	}
	return result, g.failure()
}

// watch samples the backlog during the warm-up and then in the window.
func (t *trial) watch(ctx context.Context, g *generator, l load) (result loadResult, err error) {
	warm := min(warmUp, l.window/3)
	samples, err := t.sample(ctx, g, l, warm)
	if err != nil {
		return result, err
	}
	usage := t.services.usage
	if err := usage.begin(); err != nil {
		return result, err
	}
	for _, o := range l.observers {
		if err := o.begin(ctx); err != nil {
			return result, err
		}
	}
	if l.probes != nil {
		l.probes.start(time.Now())
	}
	if last := samples[len(samples)-1]; !l.exceeded(last) {
		if samples, err = t.sample(ctx, g, l, l.window); err != nil {
			return result, err
		}
	}
	for _, o := range l.observers {
		if err := o.end(ctx); err != nil {
			return result, err
		}
	}
	if result.cores, err = usage.cores(); err != nil {
		return result, err
	}
	now := time.Now()
	first, last := samples[0], samples[len(samples)-1]
	result.trend = trendOf(samples, l.rate)
	if spent := (last.at - first.at).Seconds(); spent > 0 {
		result.served = max(0, l.rate-(last.backlog-first.backlog)/spent)
	}
	if result.diverged = l.exceeded(last); result.diverged {
		result.last = last.backlog / l.rate
	}
	result.behind = float64(g.dueAt(now)-g.acknowledged.Load()) > maxUnsent*l.rate
	return result, nil
}

func (l load) exceeded(s sample) bool { return l.stopEarly && s.backlog > divergedBacklog*l.rate }

// sample returns at least one sample. It stops when the backlog has diverged.
func (t *trial) sample(ctx context.Context, g *generator, l load, window time.Duration) (samples []sample, err error) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		due := g.dueAt(time.Now())
		left, err := t.meter.read(ctx)
		if err != nil {
			return nil, err
		}
		// The lag of Kafka does not include due events that are not acknowledged.
		backlog := max(0, due-g.acknowledged.Load()) + left.total()
		samples = append(samples, sample{at: time.Since(began), backlog: float64(backlog)})
		if err := failed(t.services.children); err != nil {
			return nil, err
		}
		if time.Since(began) >= window || l.exceeded(samples[len(samples)-1]) {
			return samples, nil
		}
	}
}
