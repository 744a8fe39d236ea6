#include "cuda.h"

#include <ATen/Functions.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <link.h>
#include <memory>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace {

constexpr auto bfloat16 = "_bfloat16", float32 = "_float32";

// Where libtorch's packages put NVIDIA's libraries: the linker's folders, libtorch's own, or that of
// the pip package beside it.
std::vector<std::string> library_folders() {
  void *libtorch = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  link_map *map = nullptr;
  if (libtorch == nullptr || dlinfo(libtorch, RTLD_DI_LINKMAP, &map) != 0) return {""};
  const std::string path = map->l_name, own = path.substr(0, path.rfind('/') + 1);
  return {"", own, own + "../../nvidia/cu13/lib/"};
}

using cuda::find;

void *open(const char *library) {
  std::string reasons;
  for (const auto &folder : library_folders()) {
    if (void *handle = dlopen((folder + library).c_str(), RTLD_NOW)) return handle;
    reasons += std::string(reasons.empty() ? "" : "; ") + dlerror();
  }
  throw std::runtime_error(reasons);
}

void check(int result, const char *what) {
  if (result != 0) throw std::runtime_error(std::string(what) + ": error " + std::to_string(result));
}

// NVRTC, which compiles a source to machine code.
struct compiler {
  using program = void *;
  static constexpr auto library = "libnvrtc.so.13";
  int (*create)(program *, const char *, const char *, int, const char *const *, const char *const *) =
      find<int(program *, const char *, const char *, int, const char *const *, const char *const *)>(library, "nvrtcCreateProgram");
  int (*compile)(program, int, const char *const *) = find<int(program, int, const char *const *)>(library, "nvrtcCompileProgram");
  int (*log_size)(program, size_t *) = find<int(program, size_t *)>(library, "nvrtcGetProgramLogSize");
  int (*log)(program, char *) = find<int(program, char *)>(library, "nvrtcGetProgramLog");
  int (*code_size)(program, size_t *) = find<int(program, size_t *)>(library, "nvrtcGetCUBINSize");
  int (*code)(program, char *) = find<int(program, char *)>(library, "nvrtcGetCUBIN");
  int (*destroy)(program *) = find<int(program *)>(library, "nvrtcDestroyProgram");

  std::vector<char> operator()(const char *source, const std::string &architecture) {
    program p;
    check(create(&p, source, "kernels.cu", 0, nullptr, nullptr), "load kernels.cu");
    const char *options[] = {architecture.c_str(), "--std=c++17"};
    const int result = compile(p, 2, options);
    size_t size = 0;
    if (result != 0) {
      log_size(p, &size);
      std::string message(size, ' ');
      log(p, message.data());
      destroy(&p);
      throw std::runtime_error("compile kernels.cu for " + architecture + ": " + message);
    }
    check(code_size(p, &size), "measure the compiled kernels");
    std::vector<char> binary(size);
    check(code(p, binary.data()), "copy the compiled kernels");
    destroy(&p);
    return binary;
  }
};

// The driver API, which loads and launches the machine code.
struct driver {
  using module = void *;
  using kernel = void *;
  static constexpr auto library = "libcuda.so.1";
  int (*attribute)(int *, int, int) = find<int(int *, int, int)>(library, "cuDeviceGetAttribute");
  int (*load)(module *, const void *) = find<int(module *, const void *)>(library, "cuModuleLoadData");
  int (*get)(kernel *, module, const char *) = find<int(kernel *, module, const char *)>(library, "cuModuleGetFunction");
  int (*launch)(kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **) =
      find<int(kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **)>(library, "cuLaunchKernel");
};

struct kernels {
  driver gpu;
  std::unordered_map<std::string, driver::kernel> named;
};

kernels *all = nullptr; // set once, before the first launch

std::string architecture(const driver &gpu) {
  constexpr int major = 75, minor = 76; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
  int version[2];
  check(gpu.attribute(&version[0], major, 0), "read the GPU's compute capability");
  check(gpu.attribute(&version[1], minor, 0), "read the GPU's compute capability");
  return "--gpu-architecture=sm_" + std::to_string(version[0]) + std::to_string(version[1]);
}

} // namespace

namespace cuda {

void *look_up(const char *library, const char *name) {
  void *function = dlsym(open(library), name);
  if (function == nullptr) throw std::runtime_error(std::string(library) + " lacks " + name);
  return function;
}

void compile(const char *source) {
  auto made = std::make_unique<kernels>();
  const auto binary = compiler()(source, architecture(made->gpu));
  at::zeros({1}, at::kCUDA); // makes the GPU's context current in this thread
  driver::module module;
  check(made->gpu.load(&module, binary.data()), "load the compiled kernels");
  for (const auto name : {"log_sum_exp", "add_norm", "tree_attention"}) {
    for (const auto type : {bfloat16, float32}) {
      const auto full = std::string(name) + type;
      check(made->gpu.get(&made->named[full], module, full.c_str()), full.c_str());
    }
  }
  all = made.release();
}

bool compiled() { return all != nullptr; }

void launch(const std::string &name, const at::Tensor &x, unsigned blocks, unsigned threads, unsigned shared, void **arguments) {
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  void *stream = guard.getStreamNativeHandle(guard.getStream(x.device()));
  const auto full = name + (x.scalar_type() == at::kBFloat16 ? bfloat16 : float32);
  check(all->gpu.launch(all->named.at(full), blocks, 1, 1, threads, 1, 1, shared, stream, arguments, nullptr), full.c_str());
}

} // namespace cuda
