// Package cores shares loops among all cores.
package cores

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// blockRows is how many rows are worked on at a time: they stay in the cache.
const blockRows = 256

// InBlocks calls f for the rows 0..n-1 in blocks, on all cores.
func InBlocks(n int, f func(from, to int)) {
	Each((n+blockRows-1)/blockRows, func(block int) {
		f(block*blockRows, min(n, (block+1)*blockRows))
	})
}

// Each calls f for 0..n-1 on all cores. What f computes must not depend on the order.
func Each(n int, f func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	workers.Wait()
}
