#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Seeds, modes, threads and devices of libtorch. Functions with an error argument return NULL or 0 and
// set an error to free where they fail.

void genrec_manual_seed(int64_t seed);

int genrec_set_gradients(int enabled); // returns the previous mode
void *genrec_enter_inference(void);
void genrec_leave_inference(void *mode);
void genrec_set_bfloat16(int cuda, int enabled);

int genrec_use_threads(int count); // returns 0 where OpenMP is not found
int genrec_use_own_stream(char **error);
int genrec_gpu_memory(int device, int64_t *allocated, int64_t *reserved, char **error);
const char *genrec_open_global(const char *library); // returns an error, or NULL

void *genrec_gelu(void *x, char **error);
void *genrec_dropout_mask(const int64_t *shape, int dimensions, double p, uint64_t *state, char **error);

#ifdef __cplusplus
}
#endif
