#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Attention with libtorch's operations. Both return a new tensor, or NULL and an error to free.

// query is (B, T, D), keys and values are (B, S, D); the mask may be undefined, or broadcasts to
// (B, H, T, S). Returns (B, T, D).
void *genrec_attention(void *query, void *keys, void *values, void *mask, int64_t heads, double dropout, int causal, char **error);
// keys and values are (N, D), cu_seqlens is (B + 1) of int32, query is (N, D) or (B, T, D). Returns
// the query's shape.
void *genrec_packed_attention(void *query, void *keys, void *values, void *cu_seqlens, int64_t max_length, int64_t heads, char **error);

#ifdef __cplusplus
}
#endif
