package stream

import (
	"context"
	"fmt"
	"time"
)

// build is a genrec binary to measure.
type build struct {
	name, binary string
	engineBinary string
	engine       []float64 // users a second of its engine alone, before and after the rest
	outcomes     []outcome
}

// outcome has the medians of all rounds, and the mean rate of the engine.
func (b *build) outcome() outcome {
	o := medians(b.outcomes)
	for _, rate := range b.engine {
		o.engine += rate / float64(len(b.engine))
	}
	return o
}

// measureInfer measures one build, or two by turns, and prints the last line
//
//	infer device=… steady_per_s=… engine_per_s=… redis_per_s=… ratio=… p50_ms=… p99_ms=… p99_at_90_ms=… cores=… device_busy=…
//
// With -against, the last line goes on with against_steady_per_s=… speedup=…
func measureInfer(ctx context.Context, s settings, folder string) error {
	began := time.Now()
	model, err := prepareModel(ctx, s)
	if err != nil {
		return err
	}
	a, err := newWorkload(s)
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
	b, err := r.fill(ctx, a, model.version)
	if err != nil {
		return err
	}
	fmt.Printf("users: %d, each with a history of %.1f events on average and a list of %d items\n", len(a.users), a.meanHistory(), listItems)
	if s.rate > 0 {
		return r.watchMemory(ctx, model, b, s.rate)
	}
	builds := r.builds()
	if err := r.measureEngines(ctx, builds, model, a); err != nil {
		return err
	}
	if err := r.measureRounds(ctx, builds, model, b); err != nil {
		return err
	}
	// Cores of a shared host become faster and slower within minutes.
	if err := r.measureEngines(ctx, builds, model, a); err != nil {
		return err
	}
	this := builds[0].outcome()
	if s.memory > 0 {
		if err := r.watchMemory(ctx, model, b, 0.9*this.steady); err != nil {
			return err
		}
	}
	fmt.Printf("took %v\n", time.Since(began).Round(time.Second))
	line := this.line(s.devices)
	if len(builds) > 1 {
		other := builds[1].outcome()
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

// measureEngines measures the engine of each build. One whose engine is not given is compared
// with the first build's.
func (r *environment) measureEngines(ctx context.Context, builds []*build, model servedModel, a *workload) error {
	for _, b := range builds {
		if b.engineBinary == "" {
			if b != builds[0] {
				fmt.Printf("note: the engine of %s is not given: it is compared with that of %s\n", b.name, builds[0].name)
				b.engine = builds[0].engine
			}
			continue
		}
		rate, err := r.engineRate(ctx, b.engineBinary, model, a)
		if err != nil {
			return err
		}
		b.engine = append(b.engine, rate)
	}
	return nil
}

// measureRounds measures Redis alone and then all builds, round by round.
func (r *environment) measureRounds(ctx context.Context, builds []*build, model servedModel, b *baseline) error {
	redis, err := r.redisRate(ctx, b)
	if err != nil {
		return err
	}
	for round := range r.rounds {
		for _, of := range builds {
			fmt.Printf("round %d, %s:\n", round+1, of.name)
			o, err := r.measureBuild(ctx, of.binary, model, b)
			if err != nil {
				return fmt.Errorf("measure %s: %w", of.name, err)
			}
			o.redis = redis
			of.outcomes = append(of.outcomes, o)
		}
	}
	return nil
}
