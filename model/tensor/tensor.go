// Package tensor runs libtorch operations on tensors through gotch's C bindings and package libtorch.
//
// Operations are methods of a Scope, which owns their results: a forward pass allocates from one
// Scope and frees it at its end. An operation that fails panics with an *Error, so that model code
// reads like its equations; Catch turns the panic into an error. Beside the plain operations there
// are fused and vectorized ones for a CPU, and CUDA kernels and graphs (fused.go).
//
// The package bypasses gotch's own Tensor type, which allocates 100 KB of Go memory per result under
// a global lock and leaks the C memory that results are returned in.
//
// A goroutine that calls into this package must be locked to its OS thread, where libtorch keeps the
// last error and the gradient mode.
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

// Tensor is a handle on a libtorch tensor. Its Scope frees it, or Drop.
type Tensor struct{ c lib.Ctensor }

// None is the undefined tensor, which stands for an optional argument that is left out.
var None = handle(lib.AtNewTensor())

// Error is a failed operation.
type Error struct {
	// Message is libtorch's, without the C++ stack.
	Message string
}

func (e *Error) Error() string { return "libtorch: " + e.Message }

// Catch turns the *Error that an operation panicked with into an error. Functions that run
// operations begin with
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

// check panics if the last call on this OS thread failed.
func check() {
	message := unsafe.Pointer(lib.GetAndResetLastErr())
	if message == nil {
		return
	}
	defer C.free(message)
	panic(&Error{firstLine(C.GoString((*C.char)(message)))})
}

// raise panics with the error of a call to package libtorch.
func raise(err error) {
	if err != nil {
		panic(&Error{firstLine(err.Error())})
	}
}

// firstLine cuts off the C++ stack.
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

// Live is the number of handles that have not been dropped, for tests that look for leaks.
func Live() int64 { return live.Load() }

func handle(c lib.Ctensor) *Tensor {
	live.Add(1)
	return &Tensor{c}
}

// inPlace runs an operation whose result is a second handle on its argument.
func inPlace(operation func(out *lib.Ctensor)) { call(operation).Drop() }

// Drop frees the handle, and the memory with the last handle on it. A second call does nothing.
func (t *Tensor) Drop() {
	if t.c != nil {
		lib.AtFree(t.c)
		t.c = nil
		live.Add(-1)
	}
}

// Synchronize waits until the device has finished the work of all threads.
func Synchronize(device gotch.Device) {
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
	onCPU := call(func(out *lib.Ctensor) { lib.AtgTo(out, t.c, gotch.CPU.CInt()) })
	defer onCPU.Drop()
	contiguous := call(func(out *lib.Ctensor) { lib.AtgContiguous(out, onCPU.c) })
	defer contiguous.Drop()
	data := make([]T, contiguous.Elements())
	if len(data) > 0 {
		lib.AtCopyData(contiguous.c, unsafe.Pointer(&data[0]), uint(len(data)), uint(unsafe.Sizeof(data[0])))
		check()
	}
	return data
}

// Ints copies row-by-row data to the scope's device.
func (s *Scope) Ints(data []int64, shape ...int64) *Tensor {
	return s.own(upload(data, gotch.Int64, s.Device, shape))
}

// Floats copies row-by-row data to the scope's device.
func (s *Scope) Floats(data []float32, shape ...int64) *Tensor {
	return s.own(upload(data, gotch.Float, s.Device, shape))
}

// Zeros makes a tensor of float32 zeros.
func (s *Scope) Zeros(shape ...int64) *Tensor { return s.zeros(gotch.Float, shape) }

// IntZeros makes a tensor of int64 zeros.
func (s *Scope) IntZeros(shape ...int64) *Tensor { return s.zeros(gotch.Int64, shape) }

func (s *Scope) zeros(kind gotch.DType, shape []int64) *Tensor {
	return s.own(call(func(out *lib.Ctensor) {
		lib.AtgZeros(out, shape, len(shape), kind.CInt(), s.Device.CInt())
	}))
}

// Kind is the type of a tensor's elements.
type Kind gotch.DType

// Kinds of weights, and of the offsets of packed rows.
var (
	Float32  = Kind(gotch.Float)
	BFloat16 = Kind(gotch.BFloat16)
	Int32    = Kind(gotch.Int)
)

// As converts a tensor to a kind; one of that kind is returned without a copy.
func (s *Scope) As(x *Tensor, k Kind) *Tensor { return s.own(x.as(k)) }

// Is reports whether the elements are of a kind.
func (t *Tensor) Is(k Kind) bool { return lib.AtScalarType(t.c) == gotch.DType(k).CInt() }

// Copy converts a tensor to a kind, without its gradient. The result belongs to the caller.
func (t *Tensor) Copy(k Kind) *Tensor {
	alias := t.Alias()
	defer alias.Drop()
	return alias.as(k)
}

func (t *Tensor) as(k Kind) *Tensor {
	return call(func(out *lib.Ctensor) { lib.AtgToDtype(out, t.c, gotch.DType(k).CInt(), 0, 0) })
}

// Normal draws a tensor from N(0, std²), on the CPU, so that one seed gives the same numbers on every
// device. The result belongs to the caller.
func Normal(std float64, device gotch.Device, shape ...int64) *Tensor {
	t := call(func(out *lib.Ctensor) {
		lib.AtgRandn(out, shape, len(shape), gotch.Float.CInt(), gotch.CPU.CInt())
	})
	withScalar(std, func(c lib.Cscalar) {
		inPlace(func(out *lib.Ctensor) { lib.AtgMulScalar_(out, t.c, c) })
	})
	return move(t, device)
}

// Constant makes a tensor of one value. The result belongs to the caller.
func Constant(value float64, device gotch.Device, shape ...int64) *Tensor {
	var t *Tensor
	withScalar(value, func(c lib.Cscalar) {
		t = call(func(out *lib.Ctensor) {
			lib.AtgFull(out, shape, len(shape), c, gotch.Float.CInt(), device.CInt())
		})
	})
	return t
}

func move(t *Tensor, device gotch.Device) *Tensor {
	if !device.IsCuda() {
		return t
	}
	defer t.Drop()
	return call(func(out *lib.Ctensor) { lib.AtgTo(out, t.c, device.CInt()) })
}

func withScalar(value float64, use func(lib.Cscalar)) {
	c := lib.AtsFloat(value)
	defer lib.AtsFree(c)
	use(c)
}

// upload copies row-by-row data to a device.
func upload[T int64 | float32](data []T, kind gotch.DType, device gotch.Device, shape []int64) *Tensor {
	c := lib.AtTensorOfData(unsafe.Pointer(unsafe.SliceData(data)), shape, uint(len(shape)),
		uint(unsafe.Sizeof(data[0])), int(kind.CInt()))
	check()
	return move(handle(c), device)
}
