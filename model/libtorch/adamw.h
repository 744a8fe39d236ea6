#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct genrec_adamw genrec_adamw;

// Functions with an error argument answer NULL or 0 and set an error to free where
// they fail.

// The gradients are those of the replicas: count of each, one replica after the other.
// The work of a step is cut into parts, for as many threads.
genrec_adamw *genrec_adamw_new(void **weights, int count, void **replicas, int replica_count, int parts, double beta1,
                               double beta2, double weight_decay, char **error);
void genrec_adamw_free(genrec_adamw *optimizer);

// A step: begin once, then gather every part, then apply every part. Where the gradients are
// to be added to those of other processes, begin may find none here, and after the addition
// the norms are asked for again.
int genrec_adamw_begin(genrec_adamw *optimizer, int others, char **error);
int genrec_adamw_gather(genrec_adamw *optimizer, int part, double *squared_norm, char **error);
int genrec_adamw_norm(genrec_adamw *optimizer, int part, double *squared_norm, char **error);
int genrec_adamw_apply(genrec_adamw *optimizer, int part, double rate, double scale, char **error);

// New handles on the state, and on what was gathered.
void *genrec_adamw_moment(genrec_adamw *optimizer, int weight, int order);
void *genrec_adamw_gradient(genrec_adamw *optimizer, int weight);
void genrec_adamw_set_steps(genrec_adamw *optimizer, double steps);

#ifdef __cplusplus
}
#endif
