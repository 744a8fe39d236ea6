#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// All return a new tensor, or NULL and an error to free.

// x is (B, T, D), keys and values are (B, S, D), the mask may be undefined.
void *genrec_attention(void *x, void *keys, void *values, void *mask, int64_t heads, double dropout, int causal, char **error);
// keys and values are (N, D), starts is (B + 1) of int32, x is (N, D) or (B, T, D).
void *genrec_packed_attention(void *x, void *keys, void *values, void *starts, int64_t longest, int64_t heads, char **error);
// x is (B, K, D), keys and values are (B, T, D), the mask is (B, 1, K, T).
void *genrec_path_attention(void *x, void *keys, void *values, void *mask, int64_t heads, char **error);
// x and block are (..., D), weight and bias (D).
void *genrec_add_norm(void *x, void *block, void *weight, void *bias, double epsilon, char **error);
// logits are (R, V), columns (R, A).
void *genrec_log_probs(void *logits, void *columns, char **error);
// x is (R, N); returns the indices (R, K) of the largest of each row, largest first, of equals
// the first on a CPU.
void *genrec_largest(void *x, int64_t k, char **error);
// Compiles the kernels of the above for the GPU; 0 with an error to free.
int genrec_compile_kernels(const char *source, char **error);

#ifdef __cplusplus
}
#endif
