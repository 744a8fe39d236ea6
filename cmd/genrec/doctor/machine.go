package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"genrec/model"
)

// LibtorchSubject is the subject of the findings on libtorch.
const LibtorchSubject = "libtorch"

// LibtorchHint is the hint where --device cannot be used.
const LibtorchHint = "install the GPU driver and libtorch for CUDA, or use --device cpu"

// Libtorch reports which libtorch is loaded, and the device and precision that it uses.
func Libtorch(device model.Device, precision model.Precision) Check {
	return func(context.Context) []Finding {
		text := fmt.Sprintf("%s runs on %v, in %v; %d cores", libtorchFile(), device, precision, runtime.GOMAXPROCS(0))
		if device == model.CPU && model.BFloat16.SupportedBy(device) {
			text += " with bfloat16 instructions"
		}
		return []Finding{ok(LibtorchSubject, "%s", text)}
	}
}

// libtorchFile is the library that this process has loaded.
func libtorchFile() string {
	const name = "libtorch_cpu.so"
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return name
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && strings.HasSuffix(line, "/"+name+"\n") {
			return strings.TrimSuffix(line[at:], "\n")
		}
	}
	return name
}

// GPU checks that CUDA works where the machine has an NVIDIA driver, or where the value of
// --device asks for it.
func GPU(device string) Check {
	const subject = "GPU"
	return func(context.Context) []Finding {
		if device == model.CPU.String() {
			return []Finding{ok(subject, "skipped: --device cpu")}
		}
		switch _, err := model.ParseDevice("cuda"); {
		case err == nil:
			return []Finding{ok(subject, "%s, with CUDA", gpuNames())}
		case errors.Is(err, fs.ErrNotExist) && device == "auto":
			return []Finding{ok(subject, "none, and none is needed: this machine has no NVIDIA driver")}
		case errors.Is(err, fs.ErrNotExist):
			return []Finding{failed(subject, err, "install the NVIDIA driver, make the GPU visible to the container, or use --device cpu")}
		default:
			return []Finding{failed(subject, err, "set LD_LIBRARY_PATH to a libtorch for CUDA 13 and CUDA_VISIBLE_DEVICES to a GPU, or use --device cpu")}
		}
	}
}

// gpuNames are the models that the driver reports.
func gpuNames() string {
	cards, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	var names []string
	for _, card := range cards {
		text, _ := os.ReadFile(card)
		for line := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(line, "Model:"); found {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	if len(names) == 0 {
		return "available"
	}
	return strings.Join(names, ", ")
}
