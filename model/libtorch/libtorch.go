// Package libtorch adds to gotch what gotch does not bind, or binds wrongly. Its C++ files hold one
// subject each: attention with libtorch's operations; layers of a transformer fused for a CPU, with
// vectorized loops (simd) and a step of the beam search (beams); CUDA kernels (kernels.cu), how they
// are compiled and launched (cuda), and CUDA graphs; the optimizer (adamw); process groups; and the
// runtime: seeds, modes, threads, streams and loading CUDA.
//
// Functions take and return handles on tensors as unsafe.Pointer; package tensor wraps them.
package libtorch

/*
#cgo CXXFLAGS: -std=c++17 -O3 -fopenmp-simd
#cgo LDFLAGS: -ltorch_cpu -lc10 -lstdc++ -ldl
#include <malloc.h>
#include <stdlib.h>
#include "runtime.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"unsafe"

	"github.com/sugarme/gotch"
)

// Seed sets the seed of libtorch's random generators on every device.
func Seed(seed int64) { C.genrec_manual_seed(C.int64_t(seed)) }

// SetGradients turns gradient recording of the calling OS thread on or off and returns the previous
// mode, which gotch's own function misreads.
func SetGradients(enabled bool) (before bool) { return C.genrec_set_gradients(flag(enabled)) != 0 }

// Inference puts the calling OS thread into inference mode until leave is called in that thread.
// Tensors made in this mode can never take part in gradients.
func Inference() (leave func()) {
	mode := C.genrec_enter_inference()
	return func() { C.genrec_leave_inference(mode) }
}

// Gelu is the exact Gaussian error linear unit. gotch's binding leaks memory with every call.
func Gelu(x unsafe.Pointer) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_gelu(x, &message), message)
}

// SetBFloat16 turns autocast to bfloat16 on or off for the calling OS thread and a device: matrix
// products and attention are computed in bfloat16 from float32 weights.
func SetBFloat16(device gotch.Device, enabled bool) {
	C.genrec_set_bfloat16(flag(device.IsCuda()), flag(enabled))
}

// UseThreads sets how many threads run an operation of the calling OS thread.
func UseThreads(count int) error {
	if C.genrec_use_threads(C.int(count)) == 0 {
		return fmt.Errorf("set the threads of libtorch's OpenMP to %d: function not found", count)
	}
	return nil
}

// UseOwnStream gives the calling OS thread a CUDA stream of its own, so that its copies and kernels do
// not wait for those of other threads.
func UseOwnStream() error {
	var message *C.char
	if C.genrec_use_own_stream(&message) == 0 {
		return fmt.Errorf("get a CUDA stream: %w", take(message))
	}
	return nil
}

// GPUMemory returns how many bytes of a GPU's memory libtorch's allocator holds in this process:
// allocated to tensors, and reserved, which is never less.
func GPUMemory(device int) (allocated, reserved int64, err error) {
	var message *C.char
	if C.genrec_gpu_memory(C.int(device), (*C.int64_t)(&allocated), (*C.int64_t)(&reserved), &message) == 0 {
		return 0, 0, fmt.Errorf("read the memory of GPU %d: %w", device, take(message))
	}
	return allocated, reserved, nil
}

// DropoutMask is a float32 tensor on the CPU whose elements are 0 with probability p, and 1/(1-p)
// otherwise. It advances the state of the random stream.
func DropoutMask(shape []int64, p float64, state *uint64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_dropout_mask((*C.int64_t)(&shape[0]), C.int(len(shape)), C.double(p), (*C.uint64_t)(state), &message), message)
}

// By default glibc maps and unmaps each large allocation, and the kernel clearing pages can take most
// of the time of a beam search.
func init() {
	const keep = 1 << 30
	C.mallopt(C.M_MMAP_THRESHOLD, keep)
	C.mallopt(C.M_TRIM_THRESHOLD, keep)
}

// ReleaseMemory returns freed memory to the system. Tensors of varying sizes fragment the heap, which
// glibc keeps otherwise.
func ReleaseMemory() { C.malloc_trim(0) }

// LoadCUDA loads libtorch's CUDA libraries and compiles the kernels of this package. The process is
// linked against the CPU libraries only, so that one binary runs with and without a GPU. The error
// says why no GPU can be used.
var LoadCUDA = sync.OnceValue(func() error {
	const driver = "/dev/nvidiactl"
	if _, err := os.Stat(driver); err != nil {
		return fmt.Errorf("find an NVIDIA driver: %w", err)
	}
	// Batches vary in size, which fragments segments of fixed size.
	const allocator = "PYTORCH_CUDA_ALLOC_CONF"
	if os.Getenv(allocator) == "" {
		if err := os.Setenv(allocator, "expandable_segments:True"); err != nil {
			return err
		}
	}
	for _, library := range []string{"libc10_cuda.so", "libtorch_cuda.so"} {
		name := C.CString(library)
		reason := C.genrec_open_global(name)
		C.free(unsafe.Pointer(name))
		if reason != nil {
			return fmt.Errorf("load %s: %s", library, C.GoString(reason))
		}
	}
	if !gotch.CUDA.IsAvailable() {
		return errors.New("libtorch finds no usable GPU")
	}
	if err := compileKernels(); err != nil {
		slog.Warn("no CUDA kernels: inference on this GPU is slower", "err", err)
	}
	return nil
})
