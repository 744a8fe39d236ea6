package stream

import (
	"context"
	"fmt"
	"time"

	"genrec/cmd/bench/measure"
)

// build is a genrec binary to measure.
type build struct {
	name, binary string
	engineBinary string
	engine       []float64 // users per second of its engine alone, before and after the rounds
	results      []buildResult
}

// result returns the medians of all rounds, and the mean rate of the engine.
func (b *build) result() buildResult {
	result := medians(b.results)
	for _, rate := range b.engine {
		result.engine += rate / float64(len(b.engine))
	}
	return result
}

// measureInfer measures one build, or two in turn, and prints the last line
//
//	infer device=… steady_per_s=… engine_per_s=… redis_per_s=… ratio=… p50_ms=… p99_ms=… p99_at_90_ms=… cores=… device_busy=…
//
// and with -against additionally against_steady_per_s=… speedup=…
func measureInfer(ctx context.Context, s settings, folder string) error {
	began := time.Now()
	model, err := prepareModel(ctx, s)
	if err != nil {
		return err
	}
	w, err := newWorkload(s)
	if err != nil {
		return err
	}
	r, err := startServers(ctx, s, folder)
	defer r.close()
	if err != nil {
		return err
	}
	if err := r.warmKafka(ctx); err != nil {
		return err
	}
	b, err := r.fill(ctx, w, model.version)
	if err != nil {
		return err
	}
	fmt.Printf("users: %d, each with a history of %.1f events on average and a list of %d items\n", len(w.users), w.meanHistory(), listItems)
	if s.rate > 0 {
		return r.watchMemory(ctx, model, b, s.rate)
	}
	builds := r.builds()
	if err := r.measureEngines(ctx, builds, model, w); err != nil {
		return err
	}
	if err := r.measureRounds(ctx, builds, model, b); err != nil {
		return err
	}
	// The speed of cores of a shared host varies within minutes.
	if err := r.measureEngines(ctx, builds, model, w); err != nil {
		return err
	}
	this := builds[0].result()
	if s.memory > 0 {
		if err := r.watchMemory(ctx, model, b, 0.9*this.steady); err != nil {
			return err
		}
	}
	fmt.Printf("duration: %v\n", time.Since(began).Round(time.Second))
	line := this.line(s.devices)
	if len(builds) > 1 {
		other := builds[1].result()
		fmt.Printf("%s:\n%s\n", builds[1].name, other.line(s.devices))
		line += fmt.Sprintf(" against_steady_per_s=%.0f speedup=%.2f", other.steady, this.steady/other.steady)
	}
	fmt.Println(line)
	return nil
}

// builds returns the builds to measure, the one of -genrec first.
func (r *environment) builds() []*build {
	builds := []*build{{name: "this build", binary: r.genrec, engineBinary: r.engine}}
	if r.against != "" {
		builds = append(builds, &build{name: "against " + r.against, binary: r.against, engineBinary: r.againstEngine})
	}
	return builds
}

// measureEngines measures the engine of each build. A build without a given engine is compared with the engine
// of the first build.
func (r *environment) measureEngines(ctx context.Context, builds []*build, model servedModel, w *workload) error {
	for _, b := range builds {
		if b.engineBinary == "" {
			if b != builds[0] {
				fmt.Printf("note: no -against-engine: %s is compared with the engine of %s\n", b.name, builds[0].name)
				b.engine = builds[0].engine
			}
			continue
		}
		rate, err := r.engineRate(ctx, b.engineBinary, model, w)
		if err != nil {
			return err
		}
		b.engine = append(b.engine, rate)
	}
	return nil
}

// measureRounds measures Redis alone, and then all builds in each round.
func (r *environment) measureRounds(ctx context.Context, builds []*build, model servedModel, b *initialState) error {
	redis, err := r.redisRate(ctx, b)
	if err != nil {
		return err
	}
	for round := range r.rounds {
		for _, of := range builds {
			fmt.Printf("round %d, %s:\n", round+1, of.name)
			result, err := r.measureBuild(ctx, of.binary, model, b)
			if err != nil {
				return fmt.Errorf("measure %s: %w", of.name, err)
			}
			result.redis = redis
			of.results = append(of.results, result)
		}
	}
	return nil
}

// buildResult has the measurements of a build.
type buildResult struct {
	steady, engine, redis float64 // users per second
	p50, p99, p99At90     float64 // ms; the first two at half of the steady capacity
	cores                 float64 // used by infer at the steady capacity
	busy                  float64 // utilization of the device at 90 % of the steady capacity
}

// line returns the last line of the benchmark.
func (o buildResult) line(device string) string {
	limit := o.redis
	if o.engine > 0 {
		limit = min(limit, o.engine)
	}
	return fmt.Sprintf("infer device=%s steady_per_s=%.0f engine_per_s=%.0f redis_per_s=%.0f ratio=%.2f p50_ms=%.1f p99_ms=%.1f p99_at_90_ms=%.1f cores=%.2f device_busy=%.2f",
		device, o.steady, o.engine, o.redis, o.steady/limit, o.p50, o.p99, o.p99At90, o.cores, o.busy)
}

// medians returns the median of each measurement. The engine is not measured in rounds.
func medians(all []buildResult) buildResult {
	of := func(field func(buildResult) float64) float64 {
		var values []float64
		for _, o := range all {
			values = append(values, field(o))
		}
		return measure.Median(values)
	}
	return buildResult{
		steady: of(func(o buildResult) float64 { return o.steady }),
		redis:  of(func(o buildResult) float64 { return o.redis }),
		p50:    of(func(o buildResult) float64 { return o.p50 }), p99: of(func(o buildResult) float64 { return o.p99 }),
		p99At90: of(func(o buildResult) float64 { return o.p99At90 }),
		cores:   of(func(o buildResult) float64 { return o.cores }), busy: of(func(o buildResult) float64 { return o.busy }),
	}
}
