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

// latencyWindow is how long latency is measured at a rate, at most.
const latencyWindow = 20 * time.Second

// trial is a running genrec build that is being measured.
type trial struct {
	*environment
	services *services
	meter    *lagMeter
	producer *kgo.Client
	baseline *baseline
}

// startTrial starts a build on recreated topics. The trial must be ended also after an error.
func (r *environment) startTrial(ctx context.Context, binary string, model servedModel, b *baseline) (t *trial, err error) {
	t = &trial{environment: r, baseline: b, services: &services{}}
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

// measureBuild finds the steady capacity of a build, and its latency below it.
func (r *environment) measureBuild(ctx context.Context, binary string, model servedModel, b *baseline) (o outcome, err error) {
	t, err := r.startTrial(ctx, binary, model, b)
	defer t.end()
	if err != nil {
		return o, err
	}
	estimate, err := t.burst(ctx)
	if err != nil {
		return o, err
	}
	var best loaded // at the highest steady rate
	o.steady, err = highestSteady(estimate, func(rate float64) (tested, error) {
		got, err := t.run(ctx, load{rate: rate, window: r.window, giveUp: true})
		if err != nil {
			return tested{}, err
		}
		fmt.Printf("  %.0f events/s for %v: %v\n", rate, r.window, got)
		if got.ok() {
			best = got
		}
		return tested{steady: got.ok(), served: got.served}, nil
	})
	if err != nil {
		return o, err
	}
	o.cores = best.cores["infer"]
	fmt.Printf("  steady capacity: %.0f users/s; cores used: %s\n", o.steady, coresText(best.cores))
	err = t.latencies(ctx, &o)
	return o, err
}

// latencies measures at half and at 90 % of the steady capacity, and where the time goes at
// the latter.
func (t *trial) latencies(ctx context.Context, o *outcome) error {
	fmt.Println("  | load | events/s | p50, ms | p99, ms | p99.9, ms | |\n  | --- | --- | --- | --- | --- | --- |")
	half, _, err := t.latency(ctx, 0.5, o.steady)
	if err != nil {
		return err
	}
	stages, gpus := &breakdown{addresses: t.services.metrics}, newGPUSampler(t.deviceNames())
	observed := []observer{stages}
	if gpus != nil {
		observed = append(observed, gpus)
	}
	high, got, err := t.latency(ctx, 0.9, o.steady, observed...)
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

// latency returns how long events took until their lists could be read, in ms, at a share of
// the steady capacity.
func (t *trial) latency(ctx context.Context, share, capacity float64, observed ...observer) ([]float64, loaded, error) {
	rate := share * capacity
	probes := newProber(t.rdb, t.baseline.workload, rate)
	got, err := t.run(ctx, load{rate: rate, window: min(latencyWindow, t.window), probes: probes, observed: observed})
	ms := probes.latency
	if err == nil && len(ms) == 0 {
		err = errors.New("no latency was measured: the window is too short")
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

// burst returns how many users a second are worked off of a backlog, which is an upper
// estimate of the steady capacity.
func (t *trial) burst(ctx context.Context) (perSecond float64, err error) {
	const (
		firstBurst = 2000
		longEnough = 3 * time.Second
	)
	users := len(t.baseline.workload.users)
	g := &generator{client: t.producer, workload: t.baseline.workload}
	work := func(n int) (time.Duration, error) {
		start := time.Now()
		if err := g.burst(ctx, n); err != nil {
			return 0, err
		}
		err := t.meter.drain(ctx, t.services, drainTimeout)
		return time.Since(start), err
	}
	if _, err := work(min(firstBurst/4, users)); err != nil { // caches, batch sizes, Kafka's JIT
		return 0, err
	}
	for n := min(firstBurst, users); ; n = min(4*n, users) {
		took, err := work(n)
		if err != nil {
			return 0, err
		}
		perSecond = float64(n) / took.Seconds()
		fmt.Printf("  burst of %d users: %.0f lists/s\n", n, perSecond)
		if took >= longEnough || n == users {
			return perSecond, nil
		}
	}
}
