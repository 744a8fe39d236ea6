package cores

import (
	"sync/atomic"
	"testing"
)

func TestEachCallsOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, blockRows, 3*blockRows + 1} {
		calls, rows := make([]atomic.Int64, n), make([]atomic.Int64, n)
		Each(n, func(i int) { calls[i].Add(1) })
		InBlocks(n, func(from, to int) {
			for row := from; row < to; row++ {
				rows[row].Add(1)
			}
		})
		for i := range n {
			if calls[i].Load() != 1 || rows[i].Load() != 1 {
				t.Errorf("of %d, number %d was called %d times, and as a row %d times", n, i, calls[i].Load(), rows[i].Load())
			}
		}
	}
}
