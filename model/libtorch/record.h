#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Functions with an error argument answer NULL or 0 and set an error to free where
// they fail.

void *genrec_graph_begin(unsigned long long shared[2], char **error);
int genrec_graph_end(void *graph, char **error);
int genrec_graph_launch(void *graph, char **error);
void genrec_graph_free(void *graph);

#ifdef __cplusplus
}
#endif
