#include "attention.h"
#include "binding.h"

#include <ATen/Functions.h>
#include <cmath>

namespace {

// (B, T, D) to (B, T, H, D/H), or (N, D) to (N, H, D/H).
at::Tensor split_heads(const at::Tensor &x, int64_t heads) { return x.unflatten(-1, {heads, x.size(-1) / heads}); }

at::Tensor attention(const at::Tensor &query, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &mask, int64_t heads, double dropout, bool causal) {
  const auto by_head = [heads](const at::Tensor &t) { return split_heads(t, heads).transpose(1, 2); }; // (B, H, T, D/H)
  const auto y = at::scaled_dot_product_attention(by_head(query), by_head(keys), by_head(values),
      mask.defined() ? std::make_optional(mask) : std::nullopt, dropout, causal);
  return y.transpose(1, 2).flatten(2); // (B, T, D)
}

// libtorch has no packed attention on a CPU: one row after the other.
at::Tensor attention_by_row(const at::Tensor &query, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &cu_seqlens, int64_t heads) {
  auto out = at::zeros_like(query);
  const auto *start = cu_seqlens.data_ptr<int32_t>();
  for (int64_t i = 0; i + 1 < cu_seqlens.size(0); i++) {
    const auto packed_row = [&](const at::Tensor &t) { return t.slice(0, start[i], start[i + 1]).unsqueeze(0); };
    const auto row = [&](const at::Tensor &t) { return query.dim() == 3 ? t.slice(0, i, i + 1) : packed_row(t); };
    row(out).copy_(attention(row(query), packed_row(keys), packed_row(values), {}, heads, 0, false));
  }
  return out;
}

at::Tensor packed_attention(const at::Tensor &query, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &cu_seqlens, int64_t max_length, int64_t heads) {
  if (!query.is_cuda()) return attention_by_row(query, keys, values, cu_seqlens, heads);
  auto query_seqlens = cu_seqlens;
  int64_t max_query_length = max_length;
  if (query.dim() == 3) { // (B, T, D) is packed already, all rows of one length
    max_query_length = query.size(1);
    query_seqlens = at::arange(0, (query.size(0) + 1) * max_query_length, max_query_length, cu_seqlens.options()); // (B + 1)
  }
  const int64_t width = query.size(-1) / heads;
  const auto by_head = [&](const at::Tensor &t) { // (1, N, H, D/H), the kernel wants a multiple of 8
    const auto split = split_heads(t, heads).unsqueeze(0);
    return width % 8 == 0 ? split : at::constant_pad_nd(split, {0, 8 - width % 8});
  };
  const auto y = std::get<0>(at::_efficient_attention_forward(by_head(query.view({-1, query.size(-1)})), by_head(keys), by_head(values),
      std::nullopt, query_seqlens, cu_seqlens, max_query_length, max_length, 0, 0, false, 1 / std::sqrt(static_cast<double>(width))));
  return y.narrow(-1, 0, width).reshape(query.sizes());
}

} // namespace

void *genrec_attention(void *query, void *keys, void *values, void *mask, int64_t heads, double dropout, int causal, char **error) {
  return new_tensor(error, [&] { return attention(tensor(query), tensor(keys), tensor(values), tensor(mask), heads, dropout, causal != 0); });
}

void *genrec_packed_attention(void *query, void *keys, void *values, void *cu_seqlens, int64_t max_length, int64_t heads, char **error) {
  return new_tensor(error, [&] { return packed_attention(tensor(query), tensor(keys), tensor(values), tensor(cu_seqlens), max_length, heads); });
}
