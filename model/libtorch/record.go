package libtorch

/*
#include <stdlib.h>
#include "record.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Graph is a CUDA graph: a number of kernels that start with one call.
type Graph struct{ c unsafe.Pointer }

// GraphPool is memory that several graphs share for intermediate results. Only one of them may
// run at a time. The zero value is a new pool.
type GraphPool [2]C.ulonglong

// Record records what f lets the calling thread's stream do, which must not be the default
// one, instead of doing it.
func Record(pool *GraphPool, f func()) (g Graph, err error) {
	var message *C.char
	if g.c = C.genrec_graph_begin(&pool[0], &message); g.c == nil {
		return g, fmt.Errorf("begin to record a CUDA graph: %w", take(message))
	}
	defer func() {
		if C.genrec_graph_end(g.c, &message) == 0 {
			err = fmt.Errorf("record a CUDA graph: %w", take(message))
		}
		if p := recover(); p != nil {
			g.Free()
			panic(p)
		}
	}()
	f()
	return g, nil
}

// Launch does what was recorded.
func (g Graph) Launch() error {
	var message *C.char
	if C.genrec_graph_launch(g.c, &message) == 0 {
		return fmt.Errorf("launch a CUDA graph: %w", take(message))
	}
	return nil
}

// Free ends the graph and its memory.
func (g Graph) Free() { C.genrec_graph_free(g.c) }
