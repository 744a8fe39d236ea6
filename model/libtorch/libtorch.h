#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void genrec_manual_seed(int64_t seed);
int genrec_set_gradients(int enabled); // returns the mode before
void *genrec_gelu(void *x, char **error); // returns a new tensor, or NULL and an error to free
const char *genrec_open_global(const char *library);

#ifdef __cplusplus
}
#endif
