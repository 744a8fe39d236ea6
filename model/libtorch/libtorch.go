// Package libtorch adds to gotch what gotch does not bind, or binds wrongly: the
// random seed, the gradient mode, the GELU, what a search is made of, threads and streams,
// and loading the CUDA kernels.
package libtorch

/*
#cgo CXXFLAGS: -std=c++17 -O3 -fopenmp-simd
#cgo LDFLAGS: -ltorch_cpu -lc10 -lstdc++ -ldl
#include <malloc.h>
#include <stdlib.h>
#include "libtorch.h"
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

// SetGradients turns the recording of gradients on or off for the calling OS
// thread and returns the mode before. gotch's own function misreads that mode.
func SetGradients(enabled bool) (before bool) {
	var flag C.int
	if enabled {
		flag = 1
	}
	return C.genrec_set_gradients(flag) != 0
}

// Inference lets the calling OS thread compute without what gradients need, until the
// function that it returns is called in that thread. Tensors made meanwhile are good for
// nothing else.
func Inference() (leave func()) {
	mode := C.genrec_enter_inference()
	return func() { C.genrec_leave_inference(mode) }
}

// Gelu is the exact Gaussian error linear unit of a tensor, as a new one. gotch's
// own binding leaks memory with every call.
func Gelu(x unsafe.Pointer) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_gelu(x, &message), message)
}

// SetBFloat16 turns on or off, for the calling OS thread, that matrix products and
// attention on a device are computed in bfloat16 from float32 weights, as PyTorch's
// autocast does.
func SetBFloat16(device gotch.Device, enabled bool) {
	var cuda, on C.int
	if device.IsCuda() {
		cuda = 1
	}
	if enabled {
		on = 1
	}
	C.genrec_set_bfloat16(cuda, on)
}

// UseThreads makes that many threads share an operation of the calling OS thread.
func UseThreads(count int) error {
	if C.genrec_use_threads(C.int(count)) == 0 {
		return fmt.Errorf("libtorch's OpenMP cannot be told to use %d threads", count)
	}
	return nil
}

// UseOwnStream gives the calling OS thread a stream of the GPU to itself, so that neither
// its copies nor its kernels wait for those of other threads.
func UseOwnStream() error {
	var message *C.char
	if C.genrec_own_stream(&message) == 0 {
		return fmt.Errorf("take a stream of the GPU: %w", take(message))
	}
	return nil
}

// GPUMemory is what libtorch has of a GPU's memory in this process, in bytes: allocated by
// tensors, and reserved for them, which is never less.
func GPUMemory(device int) (allocated, reserved int64, err error) {
	var message *C.char
	if C.genrec_gpu_memory(C.int(device), (*C.int64_t)(&allocated), (*C.int64_t)(&reserved), &message) == 0 {
		return 0, 0, fmt.Errorf("ask for the memory of GPU %d: %w", device, take(message))
	}
	return allocated, reserved, nil
}

// DropoutMask is a float32 tensor on the CPU of zeros, a share of the elements, and
// 1/(1-share). The state is the random stream's, which moves on.
func DropoutMask(shape []int64, share float64, state *uint64) (unsafe.Pointer, error) {
	var message *C.char
	mask := C.genrec_dropout_mask((*C.int64_t)(&shape[0]), C.int(len(shape)), C.double(share), (*C.uint64_t)(state), &message)
	if mask == nil {
		return nil, take(message)
	}
	return mask, nil
}

// Where an operation takes new memory from the system and gives it back, as glibc does with
// large pieces, most of a search's time may go to the kernel, which clears each page.
func init() {
	const keep = 1 << 30
	C.mallopt(C.M_MMAP_THRESHOLD, keep)
	C.mallopt(C.M_TRIM_THRESHOLD, keep)
}

// ReleaseMemory gives freed memory back to the system. Tensors of ever other sizes
// leave gaps that glibc keeps otherwise.
func ReleaseMemory() { C.malloc_trim(0) }

// LoadCUDA brings libtorch's CUDA kernels into the process, which is linked
// against the CPU libraries alone so that one binary runs with and without a GPU.
// The error says why there is no GPU to use.
var LoadCUDA = sync.OnceValue(func() error {
	const driver = "/dev/nvidiactl"
	if _, err := os.Stat(driver); err != nil {
		return fmt.Errorf("look for an NVIDIA driver: %w", err)
	}
	// Searches come in ever other sizes, which segments of fixed size hold badly.
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
		slog.Warn("recommending takes longer on this GPU", "cause", err)
	}
	return nil
})
