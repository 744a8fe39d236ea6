package model

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"

	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tensor"
	"genrec/pkg/parallel"
)

const (
	// maxThreads and maxSharedWeights bound the memory that threads have of their own. A model with more
	// weights has operations that are long enough for all cores to share.
	maxThreads       = 16
	maxSharedWeights = 32 << 20
	// gpuStreams is the number of batches on a GPU at once: while it computes one, the host uploads
	// another and downloads the results of a third.
	gpuStreams = 3

	// maxRowsCPU is enough rows for matrix products, and few enough that an operation finds the results
	// of the one before it in the caches.
	maxRowsCPU = 16
	// maxRowsGPU is enough rows to keep a GPU busy, and few enough that the searches of the largest model
	// fit into its memory.
	maxRowsGPU = 256
)

// threadPool runs libtorch's operations on OS threads of its own, or on the caller's if it has none.
type threadPool struct{ pool *parallel.Pool }

// newThreadPool starts threads for a device; onStart, unless it is nil, runs at the start of each. With
// several threads on a CPU, each operation takes one core, since most operations of a small model are
// too short to be shared. On a GPU, each thread has a stream.
func newThreadPool(device Device, threads int, onStart func()) (threadPool, error) {
	if threads == 0 {
		return threadPool{}, nil
	}
	pool, err := parallel.NewPool(threads, func() error {
		if onStart != nil {
			onStart()
		}
		libtorch.SetGradients(true) // the OS thread may be a used one
		var err error
		if threads > 1 {
			err = libtorch.UseThreads(1)
		}
		if device != CPU {
			err = errors.Join(err, libtorch.UseOwnStream())
		}
		return err
	})
	return threadPool{pool}, err
}

// each calls f for 0 to n-1 with the number of the thread, as many calls at a time as there are threads,
// until ctx ends. f may panic as tensor.Catch expects; other panics come back as a *parallel.Panic.
func (t threadPool) each(ctx context.Context, n int, f func(thread, i int)) error {
	return t.run(n, f, func(call func(thread, i int)) error { return t.pool.ForContext(ctx, n, call) })
}

// all is each without an early end.
func (t threadPool) all(n int, f func(i int)) error {
	return t.run(n, func(_, i int) { f(i) }, func(call func(thread, i int)) error { return t.pool.For(n, call) })
}

func (t threadPool) run(n int, f func(thread, i int), inPool func(call func(thread, i int)) error) error {
	errs := make([]error, n)
	call := func(thread, i int) { errs[i] = catch(func() { f(thread, i) }) }
	if t.pool != nil {
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

// size is the number of calls that run at once.
func (t threadPool) size() int {
	if t.pool == nil {
		return 1
	}
	return t.pool.Threads()
}

func (t threadPool) close() {
	if t.pool != nil {
		t.pool.Close()
	}
}

// threadsFor is the number of threads that are faster than one whose operations share the cores; 0 if
// none is.
func threadsFor(cores int, m *Model) int {
	if cores = min(cores, maxThreads); m.device == CPU && m.Parameters() <= maxSharedWeights && cores > 1 {
		return cores
	}
	return 0
}

// inferenceThreads is at least one: the callers of a Searcher are goroutines, which may change their OS
// thread.
func inferenceThreads(m *Model) int {
	if m.device != CPU {
		return gpuStreams
	}
	return max(1, threadsFor(runtime.NumCPU(), m))
}

// microBatches returns the numbers of the requests that are searched together, those of about the same
// length, longest first; on a CPU, in equally many micro-batches for each thread.
func (s *Searcher) microBatches(requests []*rank.Request) [][]int {
	numbers := make([]int, len(requests))
	for i := range numbers {
		numbers[i] = i
	}
	slices.SortStableFunc(numbers, func(a, b int) int {
		return cmp.Compare(requests[b].Input.Positions(), requests[a].Input.Positions())
	})
	threads, maxRows := s.threads.size(), maxRowsCPU
	if s.device != CPU {
		threads, maxRows = 1, maxRowsGPU
	}
	rounds := (len(requests) + threads*maxRows - 1) / (threads * maxRows)
	batches := make([][]int, min(rounds*threads, len(requests)))
	for i := range batches {
		batches[i] = numbers[i*len(numbers)/len(batches) : (i+1)*len(numbers)/len(batches)]
	}
	return batches
}

// eachMicroBatch calls f with each micro-batch and the numbers of its requests, as many at a time as
// there are threads.
func (s *Searcher) eachMicroBatch(ctx context.Context, requests []*rank.Request, f func(thread int, p *pass, numbers []int, batch []*rank.Request)) error {
	batches := s.microBatches(requests)
	return s.threads.each(ctx, len(batches), func(thread, i int) {
		defer libtorch.Inference()()
		p := s.newPass()
		defer p.Free()
		batch := make([]*rank.Request, len(batches[i]))
		for j, number := range batches[i] {
			batch[j] = requests[number]
		}
		f(thread, p, batches[i], batch)
	})
}

// awaitWeights waits for the device to finish the work of other threads, such as changes of the weights,
// which the streams of the searcher would not wait for.
func (s *Searcher) awaitWeights() (err error) {
	defer tensor.Catch(&err)
	tensor.Synchronize(s.device.libtorch)
	return nil
}
