package parallel

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// Pool is a fixed set of OS threads that run functions for any number of goroutines. It is meant
// for libraries that keep state per thread.
type Pool struct {
	threads int
	work    chan func(thread int)
	close   sync.Once
}

// NewPool starts the threads. Each of them first calls start; if one fails, all are stopped.
func NewPool(threads int, start func() error) (*Pool, error) {
	p := &Pool{threads: threads, work: make(chan func(int))}
	ready := make(chan error)
	for thread := range threads {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			ready <- start()
			for f := range p.work {
				f(thread)
			}
		}()
	}
	var errs []error
	for range threads {
		errs = append(errs, <-ready)
	}
	if err := errors.Join(errs...); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Threads is the number of threads.
func (p *Pool) Threads() int { return p.threads }

// For calls f for 0..n-1, with as many calls at a time as there are threads; f also gets the
// number of its thread. It may be called concurrently: calls are interleaved. After a panic of f,
// no further call starts, and the error is a *Panic.
func (p *Pool) For(n int, f func(thread, i int)) error { return p.run(noError, n, f) }

// ForContext is For, except that no further call starts once ctx ends; the error is then that of
// the context.
func (p *Pool) ForContext(ctx context.Context, n int, f func(thread, i int)) error {
	return p.run(ctx.Err, n, f)
}

func (p *Pool) run(canceled func() error, n int, f func(thread, i int)) error {
	return run(canceled, n, min(n, p.threads), f, func(worker func(int)) { p.work <- worker })
}

// Close ends the threads. No call of For or ForContext may be running or follow.
func (p *Pool) Close() { p.close.Do(func() { close(p.work) }) }
