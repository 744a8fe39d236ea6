#include "process_group.h"
#include "binding.h"
#include "cuda.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <unistd.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace {

using std::chrono::milliseconds;
using store = c10::intrusive_ptr<c10d::Store>;
using backend = c10::intrusive_ptr<c10d::Backend>;

template <typename Operation> int without_gradients(char **error, Operation operation) {
  return guarded(error, [&] {
    c10::AutoGradMode off(false);
    operation();
  });
}

// The constructors of c10d::ProcessGroupNCCL and its Options, whose header needs those of CUDA and
// NCCL. An object gets room for more than either takes in any version of libtorch.
struct nccl {
  static constexpr auto library = "libtorch_cuda.so";
  static constexpr size_t room = 1 << 14;
  using options = c10::intrusive_ptr<c10d::Backend::Options>;
  void (*make_options)(void *, bool) = cuda::find<void(void *, bool)>(library, "_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb");
  void (*make_group)(void *, store, int, int, options) = cuda::find<void(void *, store, int, int, options)>(
      library, "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_"
               "typeIS3_EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE");

  template <typename Object, typename... Arguments>
  static c10::intrusive_ptr<Object> make(void (*constructor)(void *, Arguments...), Arguments... arguments) {
    void *memory = ::operator new(room);
    try {
      constructor(memory, std::move(arguments)...);
    } catch (...) {
      ::operator delete(memory);
      throw;
    }
    return c10::intrusive_ptr<Object>::unsafe_steal_from_new(static_cast<Object *>(memory));
  }

  static backend group(const store &rendezvous, int rank, int size, milliseconds timeout) {
    // Makes waiting fail when a rank is lost; by default a thread of libtorch ends the process.
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
    const nccl functions;
    auto chosen = make<c10d::Backend::Options>(functions.make_options, false);
    chosen->timeout = timeout;
    return make<c10d::Backend>(functions.make_group, rendezvous, rank, size, std::move(chosen));
  }
};

std::vector<at::Tensor> detached(void **tensors, int count) {
  std::vector<at::Tensor> all;
  for (int i = 0; i < count; i++) all.push_back(static_cast<at::Tensor *>(tensors[i])->detach());
  return all;
}

} // namespace

struct genrec_group {
  store rendezvous;
  milliseconds timeout;
  int rank, size;
  backend gloo, nccl; // NCCL is set up for the first tensors on a GPU

  c10d::Backend &backend_for(const at::Tensor &tensor) {
    if (!tensor.is_cuda()) return *gloo;
    if (!nccl) nccl = ::nccl::group(c10::make_intrusive<c10d::PrefixStore>("nccl", rendezvous), rank, size, timeout);
    return *nccl;
  }

  void all_reduce(std::vector<at::Tensor> tensors) { backend_for(tensors[0]).allreduce_coalesced(tensors)->wait(timeout); }

  void broadcast(const at::Tensor &tensor) {
    std::vector<at::Tensor> one{tensor};
    backend_for(tensor).broadcast(one)->wait(timeout);
  }
};

genrec_group *genrec_group_join(const char *host, uint16_t port, int listener, const char *own_address, int rank, int size,
                                int64_t join_milliseconds, int64_t timeout_milliseconds, char **error) {
  auto group = std::make_unique<genrec_group>();
  const int joined = without_gradients(error, [&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listener >= 0;
    options.numWorkers = size;
    options.timeout = milliseconds(join_milliseconds);
    if (listener >= 0) options.masterListenFd = listener;
    group->rendezvous = c10::make_intrusive<c10d::TCPStore>(host, options);
    group->timeout = milliseconds(timeout_milliseconds);
    group->rank = rank;
    group->size = size;
    auto gloo = c10d::ProcessGroupGloo::Options::create(group->timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(own_address));
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", group->rendezvous),
                                                              rank, size, gloo);
  });
  return joined ? group.release() : nullptr;
}

void genrec_group_leave(genrec_group *group) {
  if (group->nccl) group->nccl->abort();
  delete group;
}

int genrec_group_all_reduce(genrec_group *group, double *values, int count, char **error) {
  return without_gradients(error, [&] { group->all_reduce({at::from_blob(values, {count}, at::kDouble)}); });
}

int genrec_group_broadcast(genrec_group *group, uint8_t *bytes, int64_t count, char **error) {
  return without_gradients(error, [&] { group->broadcast(at::from_blob(bytes, {count}, at::kByte)); });
}

int genrec_group_all_reduce_tensors(genrec_group *group, void **tensors, int count, char **error) {
  return without_gradients(error, [&] { group->all_reduce(detached(tensors, count)); });
}

int genrec_group_broadcast_tensors(genrec_group *group, void **tensors, int count, char **error) {
  return without_gradients(error, [&] {
    for (const auto &tensor : detached(tensors, count)) group->broadcast(tensor);
  });
}
