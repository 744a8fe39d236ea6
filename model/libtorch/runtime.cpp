#include "runtime.h"
#include "binding.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

void genrec_manual_seed(int64_t seed) { at::manual_seed(static_cast<uint64_t>(seed)); }

int genrec_set_gradients(int enabled) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(enabled != 0);
  return before;
}

void *genrec_enter_inference(void) { return new c10::InferenceMode(); }

void genrec_leave_inference(void *mode) { delete static_cast<c10::InferenceMode *>(mode); }

void *genrec_gelu(void *x, char **error) {
  return new_tensor(error, [&] { return at::gelu(tensor(x)); });
}

void genrec_set_bfloat16(int cuda, int enabled) {
  const auto device = cuda ? at::kCUDA : at::kCPU;
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::set_autocast_enabled(device, enabled != 0);
  if (!enabled) at::autocast::clear_cache(); // it keeps the weights' bfloat16 copies
}

// Calls OpenMP's own function, which changes the calling OS thread only: at::set_num_threads also
// changes the default of threads that start later.
int genrec_use_threads(int count) {
  at::get_num_threads(); // its first call sets the number
  const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set == nullptr) return 0;
  set(count);
  return at::get_num_threads() == count;
}

// Uses the interface that c10_cuda registers, which needs no headers of CUDA.
int genrec_use_own_stream(char **error) {
  return guarded(error, [&] {
    const c10::impl::VirtualGuardImpl gpu(c10::DeviceType::CUDA);
    gpu.exchangeStream(gpu.getStreamFromGlobalPool(gpu.getDevice()));
  });
}

int genrec_gpu_memory(int device, int64_t *allocated, int64_t *reserved, char **error) {
  return guarded(error, [&] {
    const auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(device);
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *allocated = stats.allocated_bytes[all].current;
    *reserved = stats.reserved_bytes[all].current;
  });
}

// Draws from wyrand (Wang Yi), 16 bits per element: libtorch's generator is shared by all threads and
// draws one element at a time.
void *genrec_dropout_mask(const int64_t *shape, int dimensions, double p, uint64_t *state, char **error) {
  return new_tensor(error, [&] {
    auto mask = at::empty(at::IntArrayRef(shape, dimensions), at::kFloat);
    float *element = mask.data_ptr<float>();
    const int64_t count = mask.numel();
    const auto dropped = static_cast<uint32_t>(p * 65536 + 0.5);
    const auto kept = static_cast<float>(1 / (1 - dropped / 65536.0));
    uint64_t seed = *state;
    for (int64_t i = 0; i < count; i += 4) {
      seed += 0xa0761d6478bd642f;
      const auto product = static_cast<unsigned __int128>(seed) * (seed ^ 0xe7037ed1a0b428db);
      const uint64_t bits = static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
      const int64_t lanes = count - i < 4 ? count - i : 4;
      for (int64_t lane = 0; lane < lanes; lane++) {
        element[i + lane] = ((bits >> (16 * lane)) & 0xffff) < dropped ? 0 : kept;
      }
    }
    *state = seed;
    return mask;
  });
}

const char *genrec_open_global(const char *library) {
  return dlopen(library, RTLD_NOW | RTLD_GLOBAL) ? nullptr : dlerror();
}
