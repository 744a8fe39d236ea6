package libtorch

/*
#include <stdlib.h>
#include "cuda_graph.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// CUDAGraph is a sequence of kernels and copies that is launched with one call.
type CUDAGraph struct{ c unsafe.Pointer }

// CUDAGraphPool is memory that several graphs share for intermediate results. Only one of them may
// run at a time. The zero value is a new pool.
type CUDAGraphPool [2]C.ulonglong

// CaptureCUDAGraph captures what f launches in the calling thread's stream, which must not be the
// default one, without running it.
func CaptureCUDAGraph(pool *CUDAGraphPool, f func()) (g CUDAGraph, err error) {
	var message *C.char
	if g.c = C.genrec_graph_begin_capture(&pool[0], &message); g.c == nil {
		return g, fmt.Errorf("begin to capture a CUDA graph: %w", take(message))
	}
	defer func() {
		if C.genrec_graph_end_capture(g.c, &message) == 0 {
			err = fmt.Errorf("capture a CUDA graph: %w", take(message))
		}
		if p := recover(); p != nil {
			g.Free()
			panic(p)
		}
	}()
	f()
	return g, nil
}

// Replay launches the graph in the calling thread's stream.
func (g CUDAGraph) Replay() error {
	var message *C.char
	if C.genrec_graph_replay(g.c, &message) == 0 {
		return fmt.Errorf("launch a CUDA graph: %w", take(message))
	}
	return nil
}

// Free frees the graph and its memory.
func (g CUDAGraph) Free() { C.genrec_graph_free(g.c) }
