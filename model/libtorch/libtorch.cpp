#include "libtorch.h"

#include <ATen/Context.h>
#include <c10/core/GradMode.h>
#include <dlfcn.h>

void genrec_manual_seed(int64_t seed) { at::manual_seed(static_cast<uint64_t>(seed)); }

int genrec_set_gradients(int enabled) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(enabled != 0);
  return before;
}

const char *genrec_open_global(const char *library) {
  return dlopen(library, RTLD_NOW | RTLD_GLOBAL) ? nullptr : dlerror();
}
