package model

import (
	"context"
	"errors"
	"runtime"

	"genrec/model/libtorch"
	"genrec/model/tensor"
	"genrec/pkg/parallel"
)

// crew runs libtorch's operations on OS threads of its own, or on the caller's if it has none.
type crew struct{ pool *parallel.Pool }

// newCrew starts threads for a device; prepare runs at the start of each, unless it is nil.
// With several threads on a CPU, each operation has one core: most operations of a small model
// are too short to be shared. On a GPU each thread has a stream.
func newCrew(device Device, threads int, prepare func()) (crew, error) {
	if threads == 0 {
		return crew{}, nil
	}
	pool, err := parallel.NewPool(threads, func() error {
		if prepare != nil {
			prepare()
		}
		libtorch.SetGradients(true) // the thread may have been another one's before
		var err error
		if threads > 1 {
			err = libtorch.UseThreads(1)
		}
		if device != CPU {
			err = errors.Join(err, libtorch.UseOwnStream())
		}
		return err
	})
	return crew{pool}, err
}

// each runs f, which may panic as tensor.Catch expects, for 0 to n-1, as many at a time
// as there are threads, with the number of the thread. Other panics come back as a *parallel.Panic.
// It ends early with ctx.
func (c crew) each(ctx context.Context, n int, f func(thread, i int)) error {
	return c.run(n, f, func(call func(thread, i int)) error { return c.pool.ForContext(ctx, n, call) })
}

// all is each without an early end.
func (c crew) all(n int, f func(i int)) error {
	return c.run(n, func(_, i int) { f(i) }, func(call func(thread, i int)) error { return c.pool.For(n, call) })
}

func (c crew) run(n int, f func(thread, i int), inPool func(call func(thread, i int)) error) error {
	errs := make([]error, n)
	call := func(thread, i int) { errs[i] = catch(func() { f(thread, i) }) }
	if c.pool != nil {
		return errors.Join(inPool(call), errors.Join(errs...))
	}
	for i := range n {
		call(0, i)
	}
	return errors.Join(errs...)
}

// catch returns the error of an operation that failed.
func catch(f func()) (err error) {
	defer tensor.Catch(&err)
	f()
	return nil
}

// size is the number of threads that work at once.
func (c crew) size() int {
	if c.pool == nil {
		return 1
	}
	return c.pool.Threads()
}

func (c crew) close() {
	if c.pool != nil {
		c.pool.Close()
	}
}

const (
	// mostThreads and mostShared bound the memory for what each thread has of its own. The
	// operations of a model of more weights than mostShared are long enough for all cores to
	// share.
	mostThreads = 16
	mostShared  = 32 << 20
	// streams is how many batches a GPU is given at once: while it computes one, the host
	// uploads another and reads the results of a third.
	streams = 3
)

// threadsOn is how many threads do better than one whose operations the cores share.
func threadsOn(cores int, m *Model) int {
	if cores = min(cores, mostThreads); m.device == CPU && m.Parameters() <= mostShared && cores > 1 {
		return cores
	}
	return 0
}

// searchingThreads is at least one: callers of a Searcher have threads of their own, which
// libtorch must not see.
func searchingThreads(m *Model) int {
	if m.device != CPU {
		return streams
	}
	return max(1, threadsOn(runtime.NumCPU(), m))
}
