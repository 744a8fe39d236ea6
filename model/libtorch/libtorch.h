#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void genrec_manual_seed(int64_t seed);
int genrec_set_gradients(int enabled); // returns the mode before
void *genrec_enter_inference(void);
void genrec_leave_inference(void *mode);
void *genrec_gelu(void *x, char **error); // returns a new tensor, or NULL and an error to free
void genrec_set_bfloat16(int cuda, int enabled);
int genrec_use_threads(int count); // 0 where OpenMP is not found
int genrec_own_stream(char **error); // 0 with an error to free
int genrec_gpu_memory(int device, int64_t *allocated, int64_t *reserved, char **error); // 0 with an error to free
void *genrec_dropout_mask(const int64_t *shape, int dimensions, double share, uint64_t *state, char **error);
const char *genrec_open_global(const char *library);

#ifdef __cplusplus
}
#endif
