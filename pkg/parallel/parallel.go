// Package parallel runs loops whose iterations are independent on all CPU cores: For and
// ForBlocks on goroutines, a Pool on a fixed set of OS threads.
package parallel

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// blockRows is the number of rows in a block, small enough for the CPU cache.
const blockRows = 256

// ForBlocks calls f for consecutive ranges [from, to) of the rows 0..n-1, on all cores. Panics
// are handled as by For.
func ForBlocks(n int, f func(from, to int)) {
	For((n+blockRows-1)/blockRows, func(block int) {
		f(block*blockRows, min(n, (block+1)*blockRows))
	})
}

// For calls f(0) to f(n-1) on all cores. The result must not depend on the order of the calls.
// If a call panics, For panics with a *Panic on the caller's goroutine after all running calls
// have returned. There it can be recovered; on another goroutine it would end the process.
func For(n int, f func(i int)) {
	if workers := min(n, runtime.GOMAXPROCS(0)); workers > 1 {
		call := func(_, i int) { f(i) }
		if err := run(noError, n, workers, call, func(worker func(int)) { go worker(0) }); err != nil {
			panic(err)
		}
		return
	}
	for i := range n {
		f(i)
	}
}

// Panic is a panic that occurred on another goroutine.
type Panic struct {
	// Value is the argument of panic.
	Value any
	// Stack is the stack trace of the goroutine that panicked.
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Unwrap returns the value of the panic if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

func noError() error { return nil }

// run distributes the iterations 0..n-1 over workers and waits for them. start has to run the
// worker that it gets on some thread and to pass it the thread's number. After a panic, or once
// canceled returns an error, no further iteration starts, and run returns the *Panic or error.
func run(canceled func() error, n, workers int, f func(thread, i int), start func(worker func(thread int))) error {
	var (
		next    atomic.Int64
		failed  atomic.Pointer[Panic]
		running sync.WaitGroup
	)
	running.Add(workers)
	for range workers {
		start(func(thread int) {
			defer running.Done()
			defer func() {
				if p := recover(); p != nil {
					failed.CompareAndSwap(nil, &Panic{Value: p, Stack: debug.Stack()})
				}
			}()
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil && canceled() == nil; i = int(next.Add(1)) - 1 {
				f(thread, i)
			}
		})
	}
	running.Wait()
	if p := failed.Load(); p != nil {
		return p
	}
	return canceled()
}
