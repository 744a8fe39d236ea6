#include "cuda_graph.h"
#include "binding.h"
#include "cuda.h"

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>

namespace {

using pool = std::pair<unsigned long long, unsigned long long>;

// The member functions of at::cuda::CUDAGraph, which tells libtorch's allocator what memory a graph
// uses. Its header needs those of CUDA, so they are looked up by their mangled names.
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

} // namespace

void *genrec_graph_begin_capture(unsigned long long pool_id[2], char **error) {
  constexpr int this_thread = 1; // cudaStreamCaptureModeThreadLocal: other threads may use the GPU
  std::unique_ptr<graph> g;
  return guarded(error, [&] {
    if (pool_id[0] == 0 && pool_id[1] == 0) std::tie(pool_id[0], pool_id[1]) = functions::get().new_pool();
    g = std::make_unique<graph>();
    functions::get().begin(g->of, {pool_id[0], pool_id[1]}, this_thread);
  }) ? g.release() : nullptr;
}

int genrec_graph_end_capture(void *g, char **error) {
  return guarded(error, [&] { functions::get().end(static_cast<graph *>(g)->of); });
}

int genrec_graph_replay(void *g, char **error) {
  return guarded(error, [&] { functions::get().replay(static_cast<graph *>(g)->of); });
}

void genrec_graph_free(void *g) { delete static_cast<graph *>(g); }
