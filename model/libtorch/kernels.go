package libtorch

/*
#include <stdlib.h>
#include "kernels.h"
*/
import "C"

import (
	_ "embed"
	"fmt"
	"unsafe"
)

//go:embed kernels.cu
var kernelSource string

// compileKernels compiles kernels.cu for the GPU that the process uses.
func compileKernels() error {
	source := C.CString(kernelSource)
	defer C.free(unsafe.Pointer(source))
	var message *C.char
	if C.genrec_compile_kernels(source, &message) == 0 {
		return fmt.Errorf("compile the CUDA kernels: %w", take(message))
	}
	return nil
}

// KernelsCompiled reports whether the functions of this file may be called: LoadCUDA has compiled
// the kernels for the GPU. They are for inference only.
func KernelsCompiled() bool { return C.genrec_kernels_compiled() != 0 }

// KernelAddNormFits reports whether KernelAddNorm supports vectors of a width.
func KernelAddNormFits(width int64) bool { return width <= 2048 && width%8 == 0 }

// KernelAddNorm is the layer norm of x + sublayer, both (..., D), with weight and bias (D).
func KernelAddNorm(x, sublayer, weight, bias unsafe.Pointer, epsilon float64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_kernel_add_norm(x, sublayer, weight, bias, C.double(epsilon), &message), message)
}

// KernelTreeAttentionFits reports whether KernelTreeAttention supports heads of a width.
func KernelTreeAttentionFits(headWidth int64) bool { return headWidth <= 64 }

// KernelTreeAttention is attention from a query (B, K, D) to those of the keys and values
// (B, T, D) for which the mask (B, 1, K, T) is 0.
func KernelTreeAttention(query, keys, values, mask unsafe.Pointer, heads int64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_kernel_tree_attention(query, keys, values, mask, C.int64_t(heads), &message), message)
}

// KernelLogProbs returns the log-probabilities of some columns (R, A) of logits (R, V), as float32.
func KernelLogProbs(logits, columns unsafe.Pointer) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_kernel_log_probs(logits, columns, &message), message)
}
