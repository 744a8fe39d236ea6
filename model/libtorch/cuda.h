#pragma once
#include <ATen/core/Tensor.h>
#include <string>

// The parts of CUDA that libtorch does not offer. Their functions are looked up in NVIDIA's and
// libtorch's libraries at run time: neither headers nor libraries of CUDA are needed to build.
namespace cuda {

// Looks a function up in a library. Throws std::runtime_error.
void *look_up(const char *library, const char *name);
template <typename Function> Function *find(const char *library, const char *name) {
  return reinterpret_cast<Function *>(look_up(library, name));
}

// Compiles kernels.cu for the GPU. Throws std::runtime_error where it fails.
void compile(const char *source);

bool compiled();

// Launches the kernel of that name for x's type (float32 or bfloat16) in the current stream: blocks
// of that many threads with that many bytes of shared memory.
void launch(const std::string &name, const at::Tensor &x, unsigned blocks, unsigned threads, unsigned shared, void **arguments);

} // namespace cuda
