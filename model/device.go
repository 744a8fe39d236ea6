package model

import (
	"fmt"

	"github.com/sugarme/gotch"

	"genrec/model/libtorch"
)

// Device is where a model lives.
type Device struct{ libtorch gotch.Device }

// CPU is the device that is always there.
var CPU = Device{gotch.CPU}

// String is the name that ParseDevice reads.
func (d Device) String() string {
	if d.libtorch.IsCuda() {
		return "cuda"
	}
	return "cpu"
}

// Memory is what libtorch has of a GPU's memory in this process, in bytes: allocated by
// tensors, and reserved for them. It is 0 of the CPU.
func (d Device) Memory() (allocated, reserved int64, err error) {
	if !d.libtorch.IsCuda() {
		return 0, 0, nil
	}
	return libtorch.GPUMemory(d.libtorch.Value)
}

// ParseDevice reads "cpu", "cuda", or "auto", which takes the GPU where there is
// one and the CPU otherwise.
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
