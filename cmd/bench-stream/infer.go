package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// latencyWindow is how long latency is measured at a rate, at most.
const latencyWindow = 20 * time.Second

// outcome is what a build comes to.
type outcome struct {
	steady, engine, redis float64 // users a second
	p50, p99, p99At90     float64 // ms; the first two at half of the steady capacity
	cores, busy           float64 // of infer at the steady capacity, and of the device at 90 % of it
}

// line is the last line of the benchmark.
func (o outcome) line(device string) string {
	limit := o.redis
	if o.engine > 0 {
		limit = min(limit, o.engine)
	}
	return fmt.Sprintf("infer device=%s steady_per_s=%.0f engine_per_s=%.0f redis_per_s=%.0f ratio=%.2f p50_ms=%.1f p99_ms=%.1f p99_at_90_ms=%.1f cores=%.2f device_busy=%.2f",
		device, o.steady, o.engine, o.redis, o.steady/limit, o.p50, o.p99, o.p99At90, o.cores, o.busy)
}

// medians of each figure.
func medians(all []outcome) outcome {
	of := func(figure func(outcome) float64) float64 {
		var values []float64
		for _, o := range all {
			values = append(values, figure(o))
		}
		return median(values)
	}
	return outcome{
		steady: of(func(o outcome) float64 { return o.steady }),
		engine: of(func(o outcome) float64 { return o.engine }),
		redis:  of(func(o outcome) float64 { return o.redis }),
		p50:    of(func(o outcome) float64 { return o.p50 }), p99: of(func(o outcome) float64 { return o.p99 }),
		p99At90: of(func(o outcome) float64 { return o.p99At90 }),
		cores:   of(func(o outcome) float64 { return o.cores }), busy: of(func(o outcome) float64 { return o.busy }),
	}
}

// build is a genrec that is measured, with what its engine does alone.
type build struct {
	name, binary string
	engine       float64
	outcomes     []outcome
}

// measureInfer measures one build, or two by turns, and prints the last line
//
//	infer device=… steady_per_s=… engine_per_s=… redis_per_s=… ratio=… p50_ms=… p99_ms=… p99_at_90_ms=… cores=… device_busy=…
func measureInfer(ctx context.Context, s settings, folder string) error {
	model, err := prepareModel(ctx, s)
	if err != nil {
		return err
	}
	a, err := newAudience(s)
	if err != nil {
		return err
	}
	r, err := startServers(ctx, s, folder)
	defer r.close()
	if err != nil {
		return err
	}
	b, err := r.fill(ctx, a, model.version)
	if err != nil {
		return err
	}
	fmt.Printf("users: %d, each with a history of %.1f events on average and a list of %d items\n", len(a.users), meanLength(a), listItems)
	if s.rate > 0 {
		return r.watchMemory(ctx, model, b, s.rate)
	}
	builds := []*build{{name: "this build", binary: s.genrec}}
	if builds[0].engine, err = r.engineRate(ctx, s.engine, model, a); err != nil {
		return err
	}
	if s.against != "" {
		other := &build{name: "against " + s.against, binary: s.against, engine: builds[0].engine}
		if s.againstEngine != "" {
			if other.engine, err = r.engineRate(ctx, s.againstEngine, model, a); err != nil {
				return err
			}
		}
		builds = append(builds, other)
	}
	redis, err := r.redisRate(ctx, b)
	if err != nil {
		return err
	}
	for round := range s.rounds {
		for _, of := range builds {
			fmt.Printf("round %d, %s:\n", round+1, of.name)
			o, err := r.measureBuild(ctx, of, model, b)
			if err != nil {
				return fmt.Errorf("measure %s: %w", of.name, err)
			}
			o.engine, o.redis = of.engine, redis
			of.outcomes = append(of.outcomes, o)
		}
	}
	this := medians(builds[0].outcomes)
	if s.memory > 0 {
		if err := r.watchMemory(ctx, model, b, 0.9*this.steady); err != nil {
			return err
		}
	}
	line := this.line(s.devices)
	if s.against != "" {
		other := medians(builds[1].outcomes)
		fmt.Println(builds[1].name + ":")
		fmt.Println(other.line(s.devices))
		line += fmt.Sprintf(" against_steady_per_s=%.0f speedup=%.2f", other.steady, this.steady/other.steady)
	}
	fmt.Println(line)
	return nil
}

func meanLength(a *audience) float64 {
	sum := 0
	for _, u := range a.users {
		sum += len(u.Items)
	}
	return float64(sum) / float64(len(a.users))
}

// start begins a turn of a build on recreated topics. The turn must be ended also after an error.
func (r *rig) startTurn(ctx context.Context, binary string, model servedModel, b *baseline) (t *turn, err error) {
	t = &turn{rig: r, baseline: b, services: &services{}}
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

func (t *turn) end() {
	t.services.stop()
	if t.producer != nil {
		t.producer.Close()
	}
	if t.meter != nil {
		t.meter.close()
	}
}

// measureBuild finds the steady capacity of a build, and its latency below it.
func (r *rig) measureBuild(ctx context.Context, of *build, model servedModel, b *baseline) (o outcome, err error) {
	t, err := r.startTurn(ctx, of.binary, model, b)
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
	return o, t.latencies(ctx, &o)
}

// latencies measures at half and at 90 % of the steady capacity.
func (t *turn) latencies(ctx context.Context, o *outcome) error {
	fmt.Println("  | load | events/s | p50, ms | p99, ms | p99.9, ms | |\n  | --- | --- | --- | --- | --- | --- |")
	for _, share := range []float64{0.5, 0.9} {
		rate := share * o.steady
		probes := newProber(t.rdb, t.baseline.audience, rate)
		stages, gpus := &breakdown{addresses: t.services.metrics}, newGPUSampler(t.deviceNames())
		l := load{rate: rate, window: min(latencyWindow, t.window), probes: probes}
		if share == 0.9 {
			l.observed = append(l.observed, stages)
			if gpus != nil {
				l.observed = append(l.observed, gpus)
			}
		}
		got, err := t.run(ctx, l)
		if err != nil {
			return err
		}
		if len(probes.latency) == 0 {
			return errors.New("no latency was measured: the window is too short")
		}
		p50, p99 := quantile(probes.latency, 0.5), quantile(probes.latency, 0.99)
		fmt.Printf("  | %.0f %% | %.0f | %.1f | %.1f | %.1f | %v |\n", 100*share, rate, p50, p99, quantile(probes.latency, 0.999), got)
		if share == 0.5 {
			o.p50, o.p99 = p50, p99
			continue
		}
		o.p99At90, o.busy = p99, got.cores["infer"]/float64(runtime.NumCPU())
		if gpus != nil {
			o.busy = gpus.busy
		}
		fmt.Printf("  cores used at 90 %%: %s\n  %s", coresText(got.cores), strings.ReplaceAll(stages.String(), "\n|", "\n  |"))
	}
	return nil
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
