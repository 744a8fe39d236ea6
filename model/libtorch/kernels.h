#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The kernels of kernels.cu. They take contiguous or strided tensors of a GPU in float32 or
// bfloat16, and record no gradients.

// Compiles the kernels for the GPU; returns 0 with an error to free where it fails.
int genrec_compile_kernels(const char *source, char **error);
int genrec_kernels_compiled(void);

// The following return a new tensor, or NULL and an error to free.

// The layer norm of x + sublayer. x and sublayer are (..., D), weight and bias (D).
void *genrec_kernel_add_norm(void *x, void *sublayer, void *weight, void *bias, double epsilon, char **error);
// Attention from query (B, K, D) to keys and values (B, T, D) for which the mask (B, 1, K, T) is 0.
void *genrec_kernel_tree_attention(void *query, void *keys, void *values, void *mask, int64_t heads, char **error);
// log_softmax(logits) at some columns, as float32: logits are (R, V), columns (R, A).
void *genrec_kernel_log_probs(void *logits, void *columns, char **error);

#ifdef __cplusplus
}
#endif
