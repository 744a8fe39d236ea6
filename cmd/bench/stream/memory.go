package stream

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"genrec/test/harness"
)

const (
	memoryEvery  = 10 * time.Second
	memorySettle = time.Minute // until caches and pools are filled
)

// watchMemory prints the resident memory of infer at a constant rate of events, and its range after the first
// minute.
func (r *environment) watchMemory(ctx context.Context, model servedModel, b *initialState, rate float64) error {
	t, err := r.startTrial(ctx, r.genrec, model, b)
	defer t.end()
	if err != nil {
		return err
	}
	fmt.Printf("memory of infer at %.0f events/s for %v:\n", rate, r.memory)
	m := &memoryWatch{processes: t.services.infer, settle: min(memorySettle, r.memory/2), min: math.Inf(1), max: math.Inf(-1)}
	stages := &breakdown{addresses: t.services.metrics}
	got, err := t.run(ctx, load{rate: rate, window: r.memory, observers: []observer{m, stages}})
	if err != nil {
		return err
	}
	fmt.Printf("  %v\n  cores used: %s\n  %s", got, coresText(got.cores), strings.ReplaceAll(stages.String(), "\n|", "\n  |"))
	fmt.Printf("memory device=%s rate_per_s=%.0f min_mib=%.0f max_mib=%.0f\n", r.devices, rate, m.min, m.max)
	return nil
}

// memoryWatch observes the total resident memory of processes.
type memoryWatch struct {
	processes []int
	settle    time.Duration
	min, max  float64 // MiB
	stop      chan struct{}
	stopped   chan struct{}
}

func (m *memoryWatch) begin(ctx context.Context) error {
	m.stop, m.stopped = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(m.stopped)
		began := time.Now()
		ticker := time.NewTicker(memoryEvery)
		defer ticker.Stop()
		for {
			m.poll(time.Since(began))
			select {
			case <-ctx.Done():
				return
			case <-m.stop:
				m.poll(time.Since(began))
				return
			case <-ticker.C:
			}
		}
	}()
	return nil
}

func (m *memoryWatch) end(context.Context) error {
	close(m.stop)
	<-m.stopped
	return nil
}

func (m *memoryWatch) poll(after time.Duration) {
	sum := 0.0
	for _, id := range m.processes {
		mib, err := harness.ResidentMemory(id)
		if err != nil {
			return // the process has exited, which is reported elsewhere
		}
		sum += mib
	}
	fmt.Printf("  %4.0f s: %.0f MiB\n", after.Seconds(), sum)
	if after >= m.settle {
		m.min, m.max = min(m.min, sum), max(m.max, sum)
	}
}
