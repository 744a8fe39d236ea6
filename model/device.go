package model

import (
	"fmt"
	"runtime"

	"github.com/sugarme/gotch"
	"golang.org/x/sys/cpu"

	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// Device is where a model's weights are, and where it computes.
type Device struct{ libtorch gotch.Device }

// CPU is the device that every machine has.
var CPU = Device{gotch.CPU}

// ParseDevice reads "cpu", "cuda", or "auto", which is the GPU if there is one and the CPU otherwise.
func ParseDevice(name string) (Device, error) {
	switch name {
	case "cpu":
		return CPU, nil
	case "auto", "cuda":
		reason := libtorch.LoadCUDA()
		if reason == nil {
			return Device{gotch.CudaBuilder(0)}, nil
		}
		if name == "cuda" {
			return Device{}, fmt.Errorf("use device %q: %w", name, reason)
		}
		return CPU, nil
	}
	return Device{}, fmt.Errorf("unknown device %q: want auto, cpu or cuda", name)
}

// String is the name that ParseDevice reads.
func (d Device) String() string {
	if d.libtorch.IsCuda() {
		return "cuda"
	}
	return "cpu"
}

// Memory returns how many bytes of a GPU's memory libtorch holds in this process: allocated to tensors,
// and reserved. Both are 0 for the CPU.
func (d Device) Memory() (allocated, reserved int64, err error) {
	if !d.libtorch.IsCuda() {
		return 0, 0, nil
	}
	return libtorch.GPUMemory(d.libtorch.Value)
}

// Precision is the number format of weights and activations in inference. Scores are float32.
type Precision int

// Precisions. A model is trained in Float32.
const (
	Float32 Precision = iota
	BFloat16
)

var precisions = []Precision{Float32, BFloat16}

// ParsePrecision reads "float32" or "bfloat16".
func ParsePrecision(name string) (Precision, error) {
	for _, p := range precisions {
		if name == p.String() {
			return p, nil
		}
	}
	return Float32, fmt.Errorf("unknown precision %q: want one of %v", name, precisions)
}

// String is the name that ParsePrecision reads.
func (p Precision) String() string { return [...]string{"float32", "bfloat16"}[p] }

func (p Precision) kind() tensor.Kind { return [...]tensor.Kind{tensor.Float32, tensor.BFloat16}[p] }

// SupportedBy reports whether the device has instructions for the precision. A CPU without those for
// bfloat16 takes several times as long as for float32.
func (p Precision) SupportedBy(d Device) bool {
	if p == Float32 || d != CPU || runtime.GOARCH != "amd64" {
		return true
	}
	return cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16
}
