#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Expands the beams of a search on a CPU, in float32. logits are (B*K, V); nodes and scores of the
// beams (B, K). The tables (N, A) hold each trie node's children: their tokens, their nodes, and a
// bias of 0, or -inf where there is no child. out are the scores, tokens, nodes and parent beams of
// the best continuations (B, K'), best first. Where there are fewer than K', the rest has the
// score -inf and zeros. Returns 1, or 0 and an error to free.
int genrec_fused_expand_beams(void *logits, void *nodes, void *scores, void *child_tokens, void *child_nodes, void *child_bias, int64_t keep, void *out[4], char **error);

#ifdef __cplusplus
}
#endif
