#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void genrec_manual_seed(int64_t seed);
int genrec_set_gradients(int enabled); // returns the mode before
const char *genrec_open_global(const char *library);

#ifdef __cplusplus
}
#endif
