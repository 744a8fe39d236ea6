#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Functions with an error argument answer NULL or 0 and set an error to free where
// they fail.

typedef struct genrec_group genrec_group;

// The listener is the socket on which rank 0 lets the others find each other; it becomes
// the group's, also if joining fails. Elsewhere it is -1.
genrec_group *genrec_group_join(const char *host, uint16_t port, int listener, const char *own_address, int rank, int size,
                                int64_t join_milliseconds, int64_t timeout_milliseconds, char **error);
void genrec_group_leave(genrec_group *group);

// All ranks call these in the same order, with as much data.
int genrec_group_add(genrec_group *group, double *values, int count, char **error);
int genrec_group_send(genrec_group *group, uint8_t *bytes, int64_t count, char **error); // rank 0's to all
int genrec_group_add_tensors(genrec_group *group, void **tensors, int count, char **error);
int genrec_group_send_tensors(genrec_group *group, void **tensors, int count, char **error);

#ifdef __cplusplus
}
#endif
