package model

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/cpu"

	"genrec/model/tensor"
)

// Precision is how a network's weights are held and computed with. Scores are float32.
type Precision int

// A model learns in float32.
const (
	Float32 Precision = iota
	BFloat16
)

var precisions = []Precision{Float32, BFloat16}

// String is the name that ParsePrecision reads.
func (p Precision) String() string { return [...]string{"float32", "bfloat16"}[p] }

func (p Precision) kind() tensor.Kind { return [...]tensor.Kind{tensor.Float32, tensor.BFloat16}[p] }

// ParsePrecision reads "float32" or "bfloat16".
func ParsePrecision(name string) (Precision, error) {
	for _, p := range precisions {
		if name == p.String() {
			return p, nil
		}
	}
	return Float32, fmt.Errorf("unknown precision %q: want one of %v", name, precisions)
}

// Suits says whether the device computes in the precision by instructions of its own. A CPU
// without those for bfloat16 takes several times as long as for float32.
func (p Precision) SupportedBy(d Device) bool {
	if p == Float32 || d != CPU || runtime.GOARCH != "amd64" {
		return true
	}
	return cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16
}

// Rounded is a copy in another precision, for inference alone.
func (m *Model) WithPrecision(p Precision) (rounded *Model, err error) {
	defer tensor.Catch(&err)
	return build(m.Config, m.weights.rounded(p.kind())), nil
}
