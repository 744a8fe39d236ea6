package parallel

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestForCallsEachIterationOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, blockRows, 3*blockRows + 1} {
		calls, rows := make([]atomic.Int64, n), make([]atomic.Int64, n)
		For(n, func(i int) { calls[i].Add(1) })
		ForBlocks(n, func(from, to int) {
			for row := from; row < to; row++ {
				rows[row].Add(1)
			}
		})
		for i := range n {
			if calls[i].Load() != 1 || rows[i].Load() != 1 {
				t.Errorf("%d iterations: %d was called %d times by For and %d times by ForBlocks", n, i, calls[i].Load(), rows[i].Load())
			}
		}
	}
}

// A panic on a goroutine of For could not be recovered and would end the process.
func TestForPanicsOnTheCallersGoroutine(t *testing.T) {
	for _, n := range []int{1, 100} {
		func() {
			defer func() {
				p := recover()
				if n == 1 && p == "broken" {
					return // called directly
				}
				if got, ok := p.(*Panic); !ok || got.Value != "broken" || len(got.Stack) == 0 {
					t.Errorf("%d calls: recovered %v, want the panic of the call with its stack", n, p)
				}
			}()
			For(n, func(i int) {
				if i == n/2 {
					panic("broken")
				}
			})
			t.Errorf("%d calls: For returned after a panic", n)
		}()
	}
}

func TestPoolIsSafeForConcurrentUse(t *testing.T) {
	var started atomic.Int64
	p, err := NewPool(3, func() error { started.Add(1); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if started.Load() != 3 || p.Threads() != 3 {
		t.Errorf("%d of %d threads were started, want 3", started.Load(), p.Threads())
	}
	var callers sync.WaitGroup
	var running, most atomic.Int64
	var perThread [3]atomic.Int64
	for n := range 20 {
		callers.Go(func() {
			calls := make([]atomic.Int64, n)
			if err := p.ForContext(t.Context(), n, func(thread, i int) {
				perThread[thread].Add(1) // a thread runs one call at a time
				defer perThread[thread].Add(-1)
				if perThread[thread].Load() != 1 {
					t.Errorf("thread %d runs two calls at once", thread)
				}
				most.Store(max(most.Load(), running.Add(1)))
				calls[i].Add(1)
				running.Add(-1)
			}); err != nil {
				t.Error(err)
			}
			for i := range calls {
				if got := calls[i].Load(); got != 1 {
					t.Errorf("iteration %d of %d was called %d times", i, n, got)
				}
			}
		})
	}
	callers.Wait()
	if most.Load() > 3 {
		t.Errorf("%d calls ran at once on 3 threads", most.Load())
	}
}

func TestPoolReportsPanicsAndCancellation(t *testing.T) {
	p, err := NewPool(2, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	broken := errors.New("out of memory")
	err = p.ForContext(t.Context(), 5, func(_, i int) {
		if i == 3 {
			panic(broken)
		}
	})
	if got := (*Panic)(nil); !errors.As(err, &got) || !errors.Is(err, broken) {
		t.Errorf("error %v, want the value of the panic", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.ForContext(ended, 5, func(int, int) { t.Error("called after the end of the context") }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if err := p.ForContext(t.Context(), 5, func(int, int) {}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestNewPoolReportsStartErrors(t *testing.T) {
	broken := errors.New("no device")
	if p, err := NewPool(2, func() error { return broken }); p != nil || !errors.Is(err, broken) {
		t.Errorf("got %v and error %v, want no pool and the error of the start function", p, err)
	}
}
