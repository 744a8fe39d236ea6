package libtorch

/*
#include <stdlib.h>
#include "attention.h"
*/
import "C"

import "unsafe"

// Attention is softmax(query·keysᵀ/√width + mask)·values for each of the heads that the width D
// of query (B, T, D), keys and values (B, S, D) is split into, as a new tensor (B, T, D). The mask
// may be undefined. gotch binds the function for tensors that are split already, by six
// operations more.
func Attention(query, keys, values, mask unsafe.Pointer, heads int64, dropout float64, causal bool) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_attention(query, keys, values, mask, C.int64_t(heads), C.double(dropout), flag(causal), &message), message)
}

// PackedAttention is Attention over rows of different lengths without padding: keys and values
// (N, D) hold one row after the other, which begin at cuSeqlens (B+1) of int32 and are at most
// maxLength long. The query is packed likewise, or (B, T, D). It is for inference only.
func PackedAttention(query, keys, values, cuSeqlens unsafe.Pointer, maxLength, heads int64) (unsafe.Pointer, error) {
	var message *C.char
	return result(C.genrec_packed_attention(query, keys, values, cuSeqlens, C.int64_t(maxLength), C.int64_t(heads), &message), message)
}

// result returns a new tensor, or the error that took its place.
func result(tensor unsafe.Pointer, message *C.char) (unsafe.Pointer, error) {
	if tensor == nil {
		return nil, take(message)
	}
	return tensor, nil
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
