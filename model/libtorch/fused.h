#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Layers of a transformer and row operations on a CPU, in float32 and without gradients. A layer is
// one call: in a tiny model libtorch takes longer to dispatch an operation than to compute it.
// Weights are (out, in); they and their biases are contiguous. Each function returns 1, or 0 and an
// error to free.

struct genrec_linear { void *weight, *bias; };
struct genrec_layer_norm { void *weight, *bias; double epsilon; };
struct genrec_attention_layer {
  struct genrec_linear query, key, value, out;
  struct genrec_layer_norm norm;
  int64_t heads;
};

// Self-attention, residual and norm. x is (B, T, D); cached keys and values are (B, P, D), or both
// null; the mask may be undefined, or broadcasts to (B, 1, T, P+T); causal hides later positions of
// x. out is the result (B, T, D), then all keys and all values (B, P+T, D).
int genrec_fused_self_attention(const struct genrec_attention_layer *layer, void *x, void *cached_keys, void *cached_values, void *mask, int causal, void *out[3], char **error);
// Cross-attention, residual and norm. x is (B, T, D), keys and values are (B, S, D); the mask may be
// undefined, or is (B, 1, 1, S). out is (B, T, D).
int genrec_fused_cross_attention(const struct genrec_attention_layer *layer, void *x, void *keys, void *values, void *mask, void **out, char **error);
// norm(x + fc2(gelu(fc1(x)))). x and out are (..., D).
int genrec_fused_feed_forward(struct genrec_linear fc1, struct genrec_linear fc2, struct genrec_layer_norm norm, void *x, void **out, char **error);

// log_softmax(logits) at some columns: logits are (R, V), columns and out (R, A).
int genrec_simd_log_probs(void *logits, void *columns, void **out, char **error);
// The indices (R, K) of the k largest numbers of each row of x (R, N), largest first; of equal ones
// the first.
int genrec_simd_top_indices(void *x, int64_t k, void **out, char **error);

#ifdef __cplusplus
}
#endif
