#include "libtorch.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <cstring>
#include <dlfcn.h>

void genrec_manual_seed(int64_t seed) { at::manual_seed(static_cast<uint64_t>(seed)); }

int genrec_set_gradients(int enabled) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(enabled != 0);
  return before;
}

void *genrec_gelu(void *x, char **error) {
  try {
    return new at::Tensor(at::gelu(*static_cast<at::Tensor *>(x)));
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return nullptr;
  }
}

const char *genrec_open_global(const char *library) {
  return dlopen(library, RTLD_NOW | RTLD_GLOBAL) ? nullptr : dlerror();
}
