package cores

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// Pool is a fixed number of OS threads that run functions for any number of goroutines, for
// libraries that keep state per thread.
type Pool struct {
	threads int
	work    chan func(thread int)
	close   sync.Once
}

// NewPool starts the threads. Each of them calls start first; if one fails, none is left.
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

// Each calls f for 0..n-1, as many at a time as there are threads, with the number of the
// thread. Several goroutines may call it at once: their calls take turns. After a panic of f,
// or the end of ctx, no more calls begin, and the error is a *Panic or the context's.
func (p *Pool) Each(ctx context.Context, n int, f func(thread, i int)) error {
	return p.share(ctx.Err, n, f)
}

// All is Each without an end before the last call.
func (p *Pool) All(n int, f func(thread, i int)) error {
	return p.share(func() error { return nil }, n, f)
}

func (p *Pool) share(ended func() error, n int, f func(thread, i int)) error {
	return share(ended, n, min(n, p.threads), f, func(loop func(int)) { p.work <- loop })
}

// Close ends the threads. No call of Each may be running or follow.
func (p *Pool) Close() { p.close.Do(func() { close(p.work) }) }
