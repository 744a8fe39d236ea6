// Lets gotch v0.9.1, generated for libtorch 2.1, compile unmodified against
// libtorch 2.11: overloads with the argument lists that gotch calls and that
// libtorch has since changed. Force-included before every C++ file of the build.
#pragma once
#ifdef __cplusplus
#include <torch/torch.h>

namespace torch {

using OptionalDtype = std::optional<at::ScalarType>;

inline at::Tensor _cslt_sparse_mm(const at::Tensor &compressed, const at::Tensor &dense,
                                  const at::Tensor &bias, bool transpose_result) {
  return at::_cslt_sparse_mm(compressed, dense, bias, {}, {}, transpose_result);
}

// libtorch 2.1 also returned the absolute maximum of the result; 2.11 does not
// compute it, so an undefined tensor stands in its place.
inline std::tuple<at::Tensor, at::Tensor> _scaled_mm(const at::Tensor &self, const at::Tensor &mat2,
                                                     const at::Tensor &bias, OptionalDtype dtype,
                                                     const at::Tensor &scale_a, const at::Tensor &scale_b,
                                                     const at::Tensor &scale_result) {
  return {at::_scaled_mm(self, mat2, scale_a, scale_b, bias, scale_result, dtype), at::Tensor()};
}

inline std::tuple<at::Tensor, at::Tensor> _scaled_mm_out(at::Tensor &out, at::Tensor &amax, const at::Tensor &self,
                                                         const at::Tensor &mat2, const at::Tensor &bias,
                                                         OptionalDtype dtype, const at::Tensor &scale_a,
                                                         const at::Tensor &scale_b,
                                                         const at::Tensor &scale_result) {
  return {at::_scaled_mm_out(out, self, mat2, scale_a, scale_b, bias, scale_result, dtype), amax};
}

// An undefined attention mask means "no mask" to gotch and an error to libtorch 2.11.
inline at::Tensor scaled_dot_product_attention(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                                               const at::Tensor &mask, double dropout, bool causal,
                                               std::optional<double> scale) {
  std::optional<at::Tensor> given;
  if (mask.defined()) given = mask;
  return at::scaled_dot_product_attention(query, key, value, given, dropout, causal, scale);
}

} // namespace torch
#endif
