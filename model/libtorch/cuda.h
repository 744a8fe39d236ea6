#pragma once
#include <ATen/core/Tensor.h>
#include <string>

// What of CUDA libtorch does not offer, by functions that are looked up in its libraries
// when it is loaded: neither its headers nor its libraries are needed to build.
namespace cuda {

// Looks a function up in a library of NVIDIA's or libtorch's. Throws std::runtime_error.
void *look_up(const char *library, const char *name);
template <typename Function> Function *find(const char *library, const char *name) {
  return reinterpret_cast<Function *>(look_up(library, name));
}

// Compiles kernels.cu for the GPU. Throws std::runtime_error where it fails.
void compile(const char *source);

// Tells whether there are kernels for a tensor that needs no gradient.
bool compiled_for(const at::Tensor &x);

// Runs the kernel of that name for x's type in the current stream: blocks of that many
// threads with so many bytes of shared memory.
void launch(const std::string &name, const at::Tensor &x, unsigned blocks, unsigned threads, unsigned shared, void **arguments);

} // namespace cuda
