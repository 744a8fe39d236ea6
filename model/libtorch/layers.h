#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Blocks of a transformer's layers and a step of its search on a CPU in float32, without
// gradients: of tiny models, each operation by itself would take libtorch longer to
// prepare than to compute. Weights are (out, in), all contiguous. Each returns 1, or 0 and
// an error to free.

struct genrec_projection { void *weight, *bias; };
struct genrec_norm { void *weight, *bias; double epsilon; };
struct genrec_attention_block {
  struct genrec_projection query, key, value, join;
  struct genrec_norm norm;
  int64_t heads;
};

// x is (B, T, D); earlier keys and values are (B, P, D), or both null; the mask may be
// undefined, or broadcasts to (B, 1, T, P+T); causal hides later positions of x. Out are
// the block's result (B, T, D), all keys and all values (B, P+T, D).
int genrec_self_attention_block(const struct genrec_attention_block *block, void *x, void *keys, void *values, void *mask, int causal, void *out[3], char **error);
// Keys and values are (B, S, D), the mask may be undefined, or is (B, 1, 1, S). Out is (B, T, D).
int genrec_cross_attention_block(const struct genrec_attention_block *block, void *x, void *keys, void *values, void *mask, void **out, char **error);
// Out is (..., D).
int genrec_feed_forward_block(struct genrec_projection in, struct genrec_projection back, struct genrec_norm norm, void *x, void **out, char **error);

// Logits are (B*K, V); nodes and scores of the beams (B, K); the tables (N, A) are tokens and
// nodes of children, and 0 where there is one. Out are scores, tokens, nodes and parents of
// the best (B, K') continuations, best first; those that there are too few of have the
// score -inf, and tokens, nodes and parents 0.
int genrec_continue(void *logits, void *nodes, void *scores, void *child_token, void *child_node, void *child_bias, int64_t keep, void *out[4], char **error);

#ifdef __cplusplus
}
#endif
