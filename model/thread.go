package model

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// crew is a number of OS threads on which libtorch's operations run alone: on a CPU one a
// core, since most operations of a small model are too short to be shared by cores; on a
// GPU a few with a stream each, which prepare its work while it does another's. A crew of
// none works on its caller's thread, where all cores share an operation.
type crew []chan func()

// newCrew starts threads for a device; prepare runs at the start of each, unless it is nil.
func newCrew(device Device, threads int, prepare func()) (crew, error) {
	c := make(crew, threads)
	ready := make(chan error)
	for i := range c {
		c[i] = make(chan func())
		go func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			if prepare != nil {
				prepare()
			}
			libtorch.SetGradients(true) // the thread may have had another life
			err := libtorch.UseThreads(1)
			if device != CPU {
				err = errors.Join(err, libtorch.UseOwnStream())
			}
			ready <- err
			for call := range c[i] {
				call()
			}
		}()
	}
	var errs []error
	for range c {
		errs = append(errs, <-ready)
	}
	if err := errors.Join(errs...); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// each runs f, which may panic as tensor.Catch expects, for 0 to n-1, as many at a time
// as there are threads.
func (c crew) each(n int, f func(i int)) error {
	errs := make([]error, n)
	if len(c) == 0 {
		for i := range n {
			errs[i] = catch(func() { f(i) })
		}
		return errors.Join(errs...)
	}
	var (
		next  atomic.Int64
		group sync.WaitGroup
	)
	for _, calls := range c[:min(n, len(c))] {
		group.Add(1)
		calls <- func() {
			defer group.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = catch(func() { f(i) })
			}
		}
	}
	group.Wait()
	return errors.Join(errs...)
}

// catch makes an error of a panic. Other threads' panics than libtorch's would end the
// process, which one user's data must not do.
func catch(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	defer tensor.Catch(&err)
	f()
	return nil
}

func (c crew) close() {
	for _, calls := range c {
		close(calls)
	}
}

const (
	// mostThreads and mostShared bound the memory for what each thread has of its own. The
	// operations of a model of more weights than mostShared are long enough for all cores to
	// share.
	mostThreads = 16
	mostShared  = 32 << 20
	// streams is how many searches a GPU is given at once.
	streams = 3
)

// threadsOn is how many threads do better than one whose operations the cores share.
func threadsOn(cores int, m *Model) int {
	if cores = min(cores, mostThreads); m.device == CPU && m.Parameters() <= mostShared && cores > 1 {
		return cores
	}
	return 0
}

func searchingThreads(m *Model) int {
	if m.device != CPU {
		return streams
	}
	return threadsOn(runtime.NumCPU(), m)
}
