#include "group.h"
#include "cuda.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <cstddef>
#include <cstdlib>
#include <cstring>
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

template <typename Operation> int guarded(char **error, Operation operation) {
  try {
    c10::AutoGradMode off(false);
    operation();
    return 1;
  } catch (const c10::Error &e) {
    *error = strdup(e.what_without_backtrace());
    return 0;
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return 0;
  }
}

// The constructors of c10d::ProcessGroupNCCL and its Options, whose header needs those of
// CUDA and NCCL. Both are larger in no version of libtorch than the memory they get.
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

  static backend group(const store &meeting, int rank, int size, milliseconds timeout) {
    // Waiting then ends with an error where a rank is lost; otherwise a thread of
    // libtorch's ends the process.
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
    const nccl functions;
    auto chosen = make<c10d::Backend::Options>(functions.make_options, false);
    chosen->timeout = timeout;
    return make<c10d::Backend>(functions.make_group, meeting, rank, size, std::move(chosen));
  }
};

std::vector<at::Tensor> listed(void **tensors, int count) {
  std::vector<at::Tensor> all;
  for (int i = 0; i < count; i++) all.push_back(static_cast<at::Tensor *>(tensors[i])->detach());
  return all;
}

} // namespace

struct genrec_group {
  store meeting;
  milliseconds timeout;
  int rank, size;
  backend gloo, nccl; // the latter is made for the first tensors of a GPU

  c10d::Backend &of(const at::Tensor &tensor) {
    if (!tensor.is_cuda()) return *gloo;
    if (!nccl) nccl = ::nccl::group(c10::make_intrusive<c10d::PrefixStore>("nccl", meeting), rank, size, timeout);
    return *nccl;
  }

  void add(std::vector<at::Tensor> tensors) { of(tensors[0]).allreduce_coalesced(tensors)->wait(timeout); }

  void send(const at::Tensor &tensor) {
    std::vector<at::Tensor> one{tensor};
    of(tensor).broadcast(one)->wait(timeout);
  }
};

genrec_group *genrec_group_join(const char *host, uint16_t port, int listener, const char *own_address, int rank, int size,
                                int64_t join_milliseconds, int64_t timeout_milliseconds, char **error) {
  auto group = std::make_unique<genrec_group>();
  const int joined = guarded(error, [&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listener >= 0;
    options.numWorkers = size;
    options.timeout = milliseconds(join_milliseconds);
    if (listener >= 0) options.masterListenFd = listener;
    group->meeting = c10::make_intrusive<c10d::TCPStore>(host, options);
    group->timeout = milliseconds(timeout_milliseconds);
    group->rank = rank;
    group->size = size;
    auto gloo = c10d::ProcessGroupGloo::Options::create(group->timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(own_address));
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", group->meeting),
                                                              rank, size, gloo);
  });
  return joined ? group.release() : nullptr;
}

void genrec_group_leave(genrec_group *group) {
  if (group->nccl) group->nccl->abort();
  delete group;
}

int genrec_group_add(genrec_group *group, double *values, int count, char **error) {
  return guarded(error, [&] { group->add({at::from_blob(values, {count}, at::kDouble)}); });
}

int genrec_group_send(genrec_group *group, uint8_t *bytes, int64_t count, char **error) {
  return guarded(error, [&] { group->send(at::from_blob(bytes, {count}, at::kByte)); });
}

int genrec_group_add_tensors(genrec_group *group, void **tensors, int count, char **error) {
  return guarded(error, [&] { group->add(listed(tensors, count)); });
}

int genrec_group_send_tensors(genrec_group *group, void **tensors, int count, char **error) {
  return guarded(error, [&] {
    for (const auto &tensor : listed(tensors, count)) group->send(tensor);
  });
}
