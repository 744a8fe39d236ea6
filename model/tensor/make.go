package tensor

import (
	"github.com/sugarme/gotch"
	lib "github.com/sugarme/gotch/libtch"
)

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

// The kinds that weights come in, and that places in a packed batch do.
var (
	Float32  = Kind(gotch.Float)
	BFloat16 = Kind(gotch.BFloat16)
	Int32    = Kind(gotch.Int)
)

// As converts a tensor to a kind; one that is of that kind is returned as it is.
func (s *Scope) As(x *Tensor, k Kind) *Tensor { return s.own(x.as(k)) }

// Copy is a tensor of a kind that belongs to the caller, without a gradient.
func (t *Tensor) Copy(k Kind) *Tensor {
	near := t.Alias()
	defer near.Drop()
	return near.as(k)
}

func (t *Tensor) as(k Kind) *Tensor {
	return call(func(out *lib.Ctensor) { lib.AtgToDtype(out, t.c, gotch.DType(k).CInt(), 0, 0) })
}

// Normal draws a tensor from N(0, std²) that belongs to the caller. The draw
// happens on the CPU, so that one seed gives the same numbers on every device.
func Normal(std float64, device gotch.Device, shape ...int64) *Tensor {
	t := call(func(out *lib.Ctensor) {
		lib.AtgRandn(out, shape, len(shape), gotch.Float.CInt(), gotch.CPU.CInt())
	})
	withScalar(std, func(c lib.Cscalar) {
		inPlace(func(out *lib.Ctensor) { lib.AtgMulScalar_(out, t.c, c) })
	})
	return move(t, device)
}

// Constant makes a tensor of one value that belongs to the caller.
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
