#include "record.h"
#include "cuda.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>

namespace {

using pool = std::pair<unsigned long long, unsigned long long>;

// The functions of at::cuda::CUDAGraph, which lets libtorch's allocator know what a
// recording holds. Its header needs those of CUDA.
struct functions {
  static constexpr auto library = "libtorch_cuda.so";
  pool (*new_pool)() = cuda::find<pool()>(library, "_ZN2at4cuda17graph_pool_handleEv");
  void (*make)(void *, bool) = cuda::find<void(void *, bool)>(library, "_ZN2at4cuda9CUDAGraphC1Eb");
  void (*begin)(void *, pool, int) =
      cuda::find<void(void *, pool, int)>(library, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
  void (*end)(void *) = cuda::find<void(void *)>(library, "_ZN2at4cuda9CUDAGraph11capture_endEv");
  void (*replay)(void *) = cuda::find<void(void *)>(library, "_ZN2at4cuda9CUDAGraph6replayEv");
  void (*destroy)(void *) = cuda::find<void(void *)>(library, "_ZN2at4cuda9CUDAGraphD1Ev");

  static const functions &get() {
    static const functions found;
    return found;
  }
};

struct graph {
  alignas(std::max_align_t) unsigned char of[4096]; // a CUDAGraph, which takes less than 512
  graph() { functions::get().make(of, false); }
  ~graph() { functions::get().destroy(of); }
};

template <typename Operation> int guarded(char **error, Operation operation) {
  try {
    operation();
    return 1;
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return 0;
  }
}

} // namespace

void *genrec_graph_begin(unsigned long long shared[2], char **error) {
  constexpr int this_thread = 1; // cudaStreamCaptureModeThreadLocal: others may go on
  std::unique_ptr<graph> g;
  return guarded(error, [&] {
    if (shared[0] == 0 && shared[1] == 0) std::tie(shared[0], shared[1]) = functions::get().new_pool();
    g = std::make_unique<graph>();
    functions::get().begin(g->of, {shared[0], shared[1]}, this_thread);
  }) ? g.release() : nullptr;
}

int genrec_graph_end(void *g, char **error) {
  return guarded(error, [&] { functions::get().end(static_cast<graph *>(g)->of); });
}

int genrec_graph_launch(void *g, char **error) {
  return guarded(error, [&] { functions::get().replay(static_cast<graph *>(g)->of); });
}

void genrec_graph_free(void *g) { delete static_cast<graph *>(g); }
