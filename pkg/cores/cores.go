// Package cores shares loops among all cores.
package cores

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// blockRows is how many rows are worked on at a time: they stay in the cache.
const blockRows = 256

// InBlocks calls f for the rows 0..n-1 in blocks, on all cores. Panics are Each's.
func InBlocks(n int, f func(from, to int)) {
	Each((n+blockRows-1)/blockRows, func(block int) {
		f(block*blockRows, min(n, (block+1)*blockRows))
	})
}

// Each calls f for 0..n-1 on all cores. What f computes must not depend on the order. If
// a call panics, Each panics with a *Panic on the caller's goroutine once all running calls
// have returned: there it can be recovered, which it cannot on a goroutine of Each's.
func Each(n int, f func(i int)) {
	if workers := min(n, runtime.GOMAXPROCS(0)); workers > 1 {
		call := func(_, i int) { f(i) }
		if err := share(func() error { return nil }, n, workers, call, func(loop func(int)) { go loop(0) }); err != nil {
			panic(err)
		}
		return
	}
	for i := range n {
		f(i)
	}
}

// Panic is a panic on another goroutine.
type Panic struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Unwrap returns the value of the panic if that is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// share runs a number of loops, each started by start on a thread, that call f with the thread
// and 0..n-1, and waits for them. It stops early and returns a *Panic after a panic, or the
// error of ended once there is one.
func share(ended func() error, n, loops int, f func(thread, i int), start func(loop func(thread int))) error {
	var (
		next    atomic.Int64
		failed  atomic.Pointer[Panic]
		running sync.WaitGroup
	)
	running.Add(loops)
	for range loops {
		start(func(thread int) {
			defer running.Done()
			defer func() {
				if p := recover(); p != nil {
					failed.CompareAndSwap(nil, &Panic{Value: p, Stack: debug.Stack()})
				}
			}()
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil && ended() == nil; i = int(next.Add(1)) - 1 {
				f(thread, i)
			}
		})
	}
	running.Wait()
	if p := failed.Load(); p != nil {
		return p
	}
	return ended()
}
