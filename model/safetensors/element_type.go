package safetensors

import (
	"encoding/binary"
	"io"
	"math"
)

// Type is the type of the elements in a file.
type Type string

// The supported types.
const (
	F16  Type = "F16"
	BF16 Type = "BF16"
	F32  Type = "F32"
	F64  Type = "F64"
)

// chunkBytes is the size of the read buffer, small enough for the CPU cache.
const chunkBytes = 256 << 10

// Size is the number of bytes of an element, or 0 if the type is not supported.
func (t Type) Size() int64 {
	switch t {
	case F16, BF16:
		return 2
	case F32:
		return 4
	case F64:
		return 8
	}
	return 0
}

// ReadFloats fills floats with little-endian elements of a supported type. F64 is rounded to the
// nearest float32. If the input is too short, the error is io.ErrUnexpectedEOF.
func (t Type) ReadFloats(r io.Reader, floats []float32) error {
	size := int(t.Size())
	buffer := make([]byte, min(chunkBytes, len(floats)*size))
	for len(floats) > 0 {
		chunk := buffer[:min(len(buffer), len(floats)*size)]
		if _, err := io.ReadFull(r, chunk); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n := len(chunk) / size
		t.decode(chunk, floats[:n])
		floats = floats[n:]
	}
	return nil
}

func (t Type) decode(data []byte, floats []float32) {
	switch t {
	case F16:
		for i := range floats {
			floats[i] = fromHalf(binary.LittleEndian.Uint16(data[2*i:]))
		}
	case BF16: // the upper half of a float32
		for i := range floats {
			floats[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		}
	case F32:
		for i := range floats {
			floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case F64:
		for i := range floats {
			floats[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		}
	}
}

// fromHalf converts an IEEE 754 binary16: a sign bit, 5 bits of exponent and 10 of fraction.
func fromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h) & 0x3ff
	switch exponent {
	case 0: // zero or subnormal
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent-15+127)<<23 | fraction<<13)
}
