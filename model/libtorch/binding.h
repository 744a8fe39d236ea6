#pragma once
#include <ATen/core/Tensor.h>
#include <cstring>
#include <exception>

// What the C functions of this package share. A tensor crosses the border to Go as a pointer to an
// at::Tensor; an exception as a message, which the caller frees.

inline const at::Tensor &tensor(void *handle) { return *static_cast<at::Tensor *>(handle); }

// Returns 1, or 0 and an error.
template <typename Operation> int guarded(char **error, Operation operation) {
  try {
    operation();
    return 1;
  } catch (const c10::Error &e) {
    *error = strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    *error = strdup(e.what());
  }
  return 0;
}

// Returns the operation's result as a new handle, or NULL and an error.
template <typename Operation> void *new_tensor(char **error, Operation operation) {
  at::Tensor *made = nullptr;
  guarded(error, [&] { made = new at::Tensor(operation()); });
  return made;
}
