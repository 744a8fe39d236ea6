#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct genrec_adamw genrec_adamw;

// Functions with an error argument return NULL or 0 and set an error to free where they fail.

// replicas are count aliases of the weights each, one replica after the other: a weight's gradient is
// the sum of theirs. A step is split into parts, which different threads may run.
genrec_adamw *genrec_adamw_new(void **weights, int count, void **replicas, int replica_count, int parts, double beta1,
                               double beta2, double weight_decay, char **error);
void genrec_adamw_free(genrec_adamw *optimizer);

// A step: begin once, then sum_gradients for every part, then apply for every part. In distributed
// training, a process may have no gradients of its own; after the all-reduce, squared_norm returns
// the norms of the parts.
int genrec_adamw_begin(genrec_adamw *optimizer, int distributed, char **error);
int genrec_adamw_sum_gradients(genrec_adamw *optimizer, int part, double *squared_norm, char **error);
int genrec_adamw_squared_norm(genrec_adamw *optimizer, int part, double *squared_norm, char **error);
int genrec_adamw_apply(genrec_adamw *optimizer, int part, double rate, double scale, char **error);

// New handles on the moments (order 1 or 2) and on the summed gradients.
void *genrec_adamw_moment(genrec_adamw *optimizer, int weight, int order);
void *genrec_adamw_gradient(genrec_adamw *optimizer, int weight);
void genrec_adamw_set_steps(genrec_adamw *optimizer, double steps);

#ifdef __cplusplus
}
#endif
