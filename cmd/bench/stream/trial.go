package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latencyWindow is the maximum window of a latency measurement.
const latencyWindow = 20 * time.Second

// trial is the measurement of a genrec build.
type trial struct {
	*environment
	services     *services
	meter        *lagMeter
	producer     *kgo.Client
	initialState *initialState
}

// startTrial starts a build with recreated topics. The trial must be ended even after an error.
func (r *environment) startTrial(ctx context.Context, binary string, model servedModel, b *initialState) (t *trial, err error) {
	t = &trial{environment: r, initialState: b, services: &services{}}
	if err := r.recreateTopics(ctx, r.partitions); err != nil {
		return t, err
	}
	if err := b.restore(ctx); err != nil {
		return t, err
	}
	t.meter = newLagMeter(r.cluster, r.partitions)
	if t.producer, err = newProducer(r.cluster); err != nil {
		return t, fmt.Errorf("open a producer: %w", err)
	}
	t.services, err = r.startServices(ctx, binary, model.registry)
	return t, err
}

func (t *trial) end() {
	t.services.stop()
	if t.producer != nil {
		t.producer.Close()
	}
	if t.meter != nil {
		t.meter.close()
	}
}

// measureBuild measures the steady capacity of a build, and the latency below it.
func (r *environment) measureBuild(ctx context.Context, binary string, model servedModel, b *initialState) (o buildResult, err error) {
	t, err := r.startTrial(ctx, binary, model, b)
	defer t.end()
	if err != nil {
		return o, err
	}
	estimate, err := t.burst(ctx)
	if err != nil {
		return o, err
	}
	var best loadResult // at the highest steady rate
	o.steady, err = highestSteady(estimate, func(rate float64) (rateResult, error) {
		got, err := t.run(ctx, load{rate: rate, window: r.window, stopEarly: true})
		if err != nil {
			return rateResult{}, err
		}
		fmt.Printf("  %.0f events/s for %v: %v\n", rate, r.window, got)
		if got.ok() {
			best = got
		}
		return rateResult{steady: got.ok(), served: got.served}, nil
	})
	if err != nil {
		return o, err
	}
	o.cores = best.cores["infer"]
	fmt.Printf("  steady capacity: %.0f users/s; cores used: %s\n", o.steady, coresText(best.cores))
	err = t.latencies(ctx, &o)
	return o, err
}

// latencies measures the latency at 50 % and 90 % of the steady capacity, and at 90 % also the time of each
// stage.
func (t *trial) latencies(ctx context.Context, o *buildResult) error {
	fmt.Println("  | load | events/s | p50, ms | p99, ms | p99.9, ms | |\n  | --- | --- | --- | --- | --- | --- |")
	half, _, err := t.latency(ctx, 0.5, o.steady)
	if err != nil {
		return err
	}
	stages, gpus := &breakdown{addresses: t.services.metrics}, newGPUSampler(t.deviceNames())
	observers := []observer{stages}
	if gpus != nil {
		observers = append(observers, gpus)
	}
	high, got, err := t.latency(ctx, 0.9, o.steady, observers...)
	if err != nil {
		return err
	}
	o.p50, o.p99, o.p99At90 = quantile(half, 0.5), quantile(half, 0.99), quantile(high, 0.99)
	o.busy = got.cores["infer"] / float64(runtime.NumCPU())
	if gpus != nil {
		o.busy = gpus.busy
	}
	fmt.Printf("  cores used at 90 %%: %s\n  %s", coresText(got.cores), strings.ReplaceAll(stages.String(), "\n|", "\n  |"))
	return nil
}

// latency returns the latencies from events to readable lists, in ms, at a fraction of the steady capacity.
func (t *trial) latency(ctx context.Context, share, capacity float64, observers ...observer) ([]float64, loadResult, error) {
	rate := share * capacity
	probes := newProber(t.rdb, t.initialState.workload, rate)
	got, err := t.run(ctx, load{rate: rate, window: min(latencyWindow, t.window), probes: probes, observers: observers})
	ms := probes.latency
	if err == nil && len(ms) == 0 {
		err = errors.New("no event was measured: the window is too short")
	}
	if err == nil {
		fmt.Printf("  | %.0f %% | %.0f | %.1f | %.1f | %.1f | %v |\n",
			100*share, rate, quantile(ms, 0.5), quantile(ms, 0.99), quantile(ms, 0.999), got)
	}
	return ms, got, err
}

func coresText(cores map[string]float64) string {
	var parts []string
	total := 0.0
	for _, name := range []string{"infer", "ingest", "Kafka", "Redis", "benchmark"} {
		if used, found := cores[name]; found {
			parts = append(parts, fmt.Sprintf("%s %.2f", name, used))
			total += used
		}
	}
	return fmt.Sprintf("%s; %.2f of %d", strings.Join(parts, ", "), total, runtime.NumCPU())
}

// burst returns the users per second when processing a backlog, an upper estimate of the steady capacity.
func (t *trial) burst(ctx context.Context) (perSecond float64, err error) {
	const (
		firstBurst  = 2000
		minDuration = 3 * time.Second
	)
	users := len(t.initialState.workload.users)
	g := &generator{client: t.producer, workload: t.initialState.workload}
	measureBurst := func(n int) (time.Duration, error) {
		start := time.Now()
		if err := g.burst(ctx, n); err != nil {
			return 0, err
		}
		err := t.meter.drain(ctx, t.services, drainTimeout)
		return time.Since(start), err
	}
	if _, err := measureBurst(min(firstBurst/4, users)); err != nil { // warm up caches, batch sizes and the JIT compiler of Kafka
		return 0, err
	}
	for n := min(firstBurst, users); ; n = min(4*n, users) {
		took, err := measureBurst(n)
		if err != nil {
			return 0, err
		}
		perSecond = float64(n) / took.Seconds()
		fmt.Printf("  burst of %d users: %.0f lists/s\n", n, perSecond)
		if took >= minDuration || n == users {
			return perSecond, nil
		}
	}
}
