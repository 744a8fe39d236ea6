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

// Scores the items below the beams on a CPU, in float32: query is (B, D), the table (Items+1, D), nodes
// and scores of the beams (B, K), child_items (N, A) rows of the table below each trie node, 0 where there
// are no more, and proposals (B, R) further leaves, or null. An item's score is the product of the query
// and its row, plus path_weight times the score of its beam, for proposals the worst score of a beam. out
// are the best leaves (B, K'), best first, and the log-probabilities (B, K'+R), normalized over the items
// below the beams. Where there are fewer than K', the rest has the log-probability -inf and leaf 0.
// Returns 1, or 0 and an error to free.
int genrec_fused_expand_leaves(void *query, void *table, void *nodes, void *scores, void *child_items, double path_weight, int64_t keep, void *proposals, void *out[2], char **error);

#ifdef __cplusplus
}
#endif
