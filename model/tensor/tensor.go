// Package tensor runs libtorch operations through gotch's C bindings.
//
// It goes below gotch's own Tensor type, which allocates 100 KB of Go memory per
// result under a global lock and leaks the C memory that it returns results in:
// too much for a worker that runs for months.
//
// A goroutine that calls into this package must be locked to its OS thread, where
// libtorch keeps the last error and the gradient mode.
package tensor

/*
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch"
	lib "github.com/sugarme/gotch/libtch"
)

// Tensor is a handle on a libtorch tensor. A Scope or Drop frees it.
type Tensor struct{ c lib.Ctensor }

// None is the tensor that stands for an argument left out.
var None = handle(lib.AtNewTensor())

// Error is what libtorch says about an operation that failed.
type Error struct{ Message string }

func (e *Error) Error() string { return "libtorch: " + e.Message }

// Catch makes an error of the *Error that an operation panicked with. Operations
// panic so that the code of a model reads like its equations; what calls the
// model begins with
//
//	defer tensor.Catch(&err)
func Catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case *Error:
		*err = errors.Join(*err, p)
	default:
		panic(p)
	}
}

// check panics when the last call on this OS thread failed.
func check() {
	message := unsafe.Pointer(lib.GetAndResetLastErr())
	if message == nil {
		return
	}
	defer C.free(message)
	panic(&Error{firstLine(C.GoString((*C.char)(message)))})
}

// raise panics with the error of a call that goes past gotch.
func raise(err error) {
	if err != nil {
		panic(&Error{firstLine(err.Error())})
	}
}

// firstLine leaves out the C++ stack.
func firstLine(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return line
}

// call runs an operation that stores one result.
func call(operation func(out *lib.Ctensor)) *Tensor {
	var out lib.Ctensor
	operation(&out)
	check()
	return handle(out)
}

var live atomic.Int64

// Live is the number of handles that have not been dropped, for tests that look
// for leaks.
func Live() int64 { return live.Load() }

func handle(c lib.Ctensor) *Tensor {
	live.Add(1)
	return &Tensor{c}
}

// inPlace runs an operation whose result is a second handle on its argument.
func inPlace(operation func(out *lib.Ctensor)) { call(operation).Drop() }

// Drop frees the handle; the memory goes with the last handle on it. A second
// call does nothing.
func (t *Tensor) Drop() {
	if t.c != nil {
		lib.AtFree(t.c)
		t.c = nil
		live.Add(-1)
	}
}

// Wait returns when all that a device was given to do, by whichever thread, is done.
func Wait(device gotch.Device) {
	if device.IsCuda() {
		lib.AtcSynchronize(0)
		check()
	}
}

// Shape returns the dimensions.
func (t *Tensor) Shape() []int64 {
	shape := make([]int64, lib.AtDim(t.c))
	if len(shape) > 0 {
		lib.AtShape(t.c, unsafe.Pointer(&shape[0]))
	}
	return shape
}

// Elements returns the number of elements.
func (t *Tensor) Elements() int {
	product := 1
	for _, n := range t.Shape() {
		product *= int(n)
	}
	return product
}

// Defined is false for a gradient that was never computed.
func (t *Tensor) Defined() bool { return lib.AtDefined(t.c) }

// Ints copies a tensor of int64 to Go, row by row.
func (t *Tensor) Ints() []int64 { return values[int64](t) }

// Floats copies a tensor of float32 to Go, row by row.
func (t *Tensor) Floats() []float32 { return values[float32](t) }

func values[T int64 | float32](t *Tensor) []T {
	near := call(func(out *lib.Ctensor) { lib.AtgTo(out, t.c, gotch.CPU.CInt()) })
	defer near.Drop()
	packed := call(func(out *lib.Ctensor) { lib.AtgContiguous(out, near.c) })
	defer packed.Drop()
	data := make([]T, packed.Elements())
	if len(data) > 0 {
		lib.AtCopyData(packed.c, unsafe.Pointer(&data[0]), uint(len(data)), uint(unsafe.Sizeof(data[0])))
		check()
	}
	return data
}

// upload copies row-by-row data to a device.
func upload[T int64 | float32](data []T, kind gotch.DType, device gotch.Device, shape []int64) *Tensor {
	c := lib.AtTensorOfData(unsafe.Pointer(unsafe.SliceData(data)), shape, uint(len(shape)),
		uint(unsafe.Sizeof(data[0])), int(kind.CInt()))
	check()
	return move(handle(c), device)
}
