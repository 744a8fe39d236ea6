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
	recurrence   = 4.0 // seconds within which no user should recur: more than diverged
)

// load is a rate to produce at.
type load struct {
	rate     float64
	window   time.Duration
	giveUp   bool       // as soon as the backlog diverges
	probes   *prober    // nil: none
	observed []observer // of the window
}

// observer watches a window from its beginning to its end.
type observer interface {
	begin(ctx context.Context) error
	end(ctx context.Context) error
}

// loaded is the result of a load.
type loaded struct {
	trend
	served   float64 // lists a second
	diverged bool
	behind   bool // the generator was, so that the rate was not what it should be
	cores    map[string]float64
}

func (l loaded) ok() bool { return l.steady() && !l.diverged && !l.behind }

func (l loaded) String() string {
	switch {
	case l.behind:
		return "FAILED: the load generator does not keep up with its schedule"
	case l.diverged:
		return fmt.Sprintf("not steady: stopped at %.1f s of backlog, %.0f lists/s", l.last, l.served)
	case !l.steady():
		return "not steady: " + l.trend.String()
	}
	return "steady: " + l.trend.String()
}

// run produces at a rate, watches the backlog, and works it off afterwards.
func (t *trial) run(ctx context.Context, l load) (result loaded, err error) {
	if users := float64(len(t.baseline.workload.users)); users < recurrence*l.rate {
		fmt.Printf("  note: at %.0f events/s a user recurs after %.1f s: refreshes of one user may coalesce; raise -users\n", l.rate, users/l.rate)
	}
	if err := t.baseline.restore(ctx); err != nil {
		return result, err
	}
	g := &generator{client: t.producer, workload: t.baseline.workload, rate: l.rate, start: time.Now()}
	stop, stopProbes := make(chan struct{}), make(chan struct{})
	var producing, probing sync.WaitGroup
	var probeErr error
	if l.probes != nil {
		g.probed = l.probes.add
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

// watch samples the backlog, first while the system warms up, then in the window.
func (t *trial) watch(ctx context.Context, g *generator, l load) (result loaded, err error) {
	warm := min(warmUp, l.window/3)
	samples, err := t.sample(ctx, g, l, warm)
	if err != nil {
		return result, err
	}
	usage := t.services.usage
	if err := usage.begin(); err != nil {
		return result, err
	}
	for _, o := range l.observed {
		if err := o.begin(ctx); err != nil {
			return result, err
		}
	}
	if l.probes != nil {
		l.probes.from(time.Now())
	}
	if last := samples[len(samples)-1]; !l.exceeded(last) {
		if samples, err = t.sample(ctx, g, l, l.window); err != nil {
			return result, err
		}
	}
	for _, o := range l.observed {
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

func (l load) exceeded(s sample) bool { return l.giveUp && s.backlog > diverged*l.rate }

// sample returns at least one sample, and stops where the backlog diverges.
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
		// Those that are due and not acknowledged are not in Kafka's lag yet.
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
