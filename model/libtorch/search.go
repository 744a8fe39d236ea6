package libtorch

/*
#include <stdlib.h>
#include "search.h"
*/
import "C"

import (
	_ "embed"
	"fmt"
	"unsafe"
)

//go:embed kernels.cu
var kernels string

// compileKernels makes a GPU's kernels for the functions of this file, which without them
// are made of libtorch's operations.
func compileKernels() error {
	source := C.CString(kernels)
	defer C.free(unsafe.Pointer(source))
	var message *C.char
	if C.genrec_compile_kernels(source, &message) == 0 {
		return fmt.Errorf("prepare the kernels for the GPU: %w", take(message))
	}
	return nil
}

// Attention is softmax(x·keysᵀ/√width + mask)·values for each of the heads that the width D
// of x (B, T, D), keys and values (B, S, D) is cut into, as a new tensor (B, T, D). The mask
// may be undefined. gotch binds the function for tensors that were cut before, by six
// operations more.
func Attention(x, keys, values, mask unsafe.Pointer, heads int64, dropout float64, causal bool) (unsafe.Pointer, error) {
	var message *C.char
	var flag C.int
	if causal {
		flag = 1
	}
	return result(C.genrec_attention(x, keys, values, mask, C.int64_t(heads), C.double(dropout), flag, &message), message)
}

// PackedAttention is Attention to keys and values (N, D) that stand one request after the
// other from starts (B+1) of int32, the longest as long as given. x stands like them, or is
// (B, T, D). It is for inference alone.
func PackedAttention(x, keys, values, starts unsafe.Pointer, longest, heads int64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_packed_attention(x, keys, values, starts, C.int64_t(longest), C.int64_t(heads), &message), message)
}

// PathAttention is Attention from x (B, K, D) to keys and values (B, T, D), of which the mask
// (B, 1, K, T) hides most. It is for inference alone.
func PathAttention(x, keys, values, mask unsafe.Pointer, heads int64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_path_attention(x, keys, values, mask, C.int64_t(heads), &message), message)
}

// AddNorm is the layer norm of x + block.
func AddNorm(x, block, weight, bias unsafe.Pointer, epsilon float64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_add_norm(x, block, weight, bias, C.double(epsilon), &message), message)
}

// LogProbs are the log-probabilities of some columns (R, A) of logits (R, V), as float32.
func LogProbs(logits, columns unsafe.Pointer) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_log_probs(logits, columns, &message), message)
}

// Largest returns the indices (R, K) of the k largest elements of each row of x (R, N), largest
// first.
func Largest(x unsafe.Pointer, k int64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_largest(x, C.int64_t(k), &message), message)
}

// result is a tensor, or the error that there is in its place.
func result(tensor unsafe.Pointer, message *C.char) (unsafe.Pointer, error) {
	if tensor == nil {
		return nil, take(message)
	}
	return tensor, nil
}
