#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// CUDA graphs. Functions with an error argument return NULL or 0 and set an error to free where they
// fail.

// Begins to capture what the calling thread launches in its current stream. The pool is that of
// graphs that share memory, or zeros, which are replaced by a new one.
void *genrec_graph_begin_capture(unsigned long long pool[2], char **error);
int genrec_graph_end_capture(void *graph, char **error);
int genrec_graph_replay(void *graph, char **error);
void genrec_graph_free(void *graph);

#ifdef __cplusplus
}
#endif
