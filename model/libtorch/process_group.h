#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Collective operations of libtorch's process groups. Functions with an error argument return NULL
// or 0 and set an error to free where they fail.

typedef struct genrec_group genrec_group;

// The listener is the socket of rank 0's rendezvous store. The group owns it, also if joining
// fails. On other ranks it is -1.
genrec_group *genrec_group_join(const char *host, uint16_t port, int listener, const char *own_address, int rank, int size,
                                int64_t join_milliseconds, int64_t timeout_milliseconds, char **error);
void genrec_group_leave(genrec_group *group);

// All ranks call these in the same order, with the same amount of data. A broadcast is from rank 0.
int genrec_group_all_reduce(genrec_group *group, double *values, int count, char **error);
int genrec_group_broadcast(genrec_group *group, uint8_t *bytes, int64_t count, char **error);
int genrec_group_all_reduce_tensors(genrec_group *group, void **tensors, int count, char **error);
int genrec_group_broadcast_tensors(genrec_group *group, void **tensors, int count, char **error);

#ifdef __cplusplus
}
#endif
