package stream

import "fmt"

// outcome has the figures of a build.
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

// medians of each figure but the engine's, which is not measured in rounds.
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
		redis:  of(func(o outcome) float64 { return o.redis }),
		p50:    of(func(o outcome) float64 { return o.p50 }), p99: of(func(o outcome) float64 { return o.p99 }),
		p99At90: of(func(o outcome) float64 { return o.p99At90 }),
		cores:   of(func(o outcome) float64 { return o.cores }), busy: of(func(o outcome) float64 { return o.busy }),
	}
}
