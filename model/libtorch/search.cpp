#include "search.h"
#include "cuda.h"
#include "loops.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <algorithm>
#include <c10/core/InferenceMode.h>
#include <cmath>
#include <cstring>

namespace {

const at::Tensor &tensor(void *handle) { return *static_cast<at::Tensor *>(handle); }

template <typename Operation> void *guarded(char **error, Operation operation) {
  try {
    return new at::Tensor(operation());
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return nullptr;
  }
}

// (B, T, D) to (B, T, H, D/H), or (N, D) to (N, H, D/H).
at::Tensor by_head(const at::Tensor &x, int64_t heads) { return x.unflatten(-1, {heads, x.size(-1) / heads}); }

at::Tensor attention(const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &mask, int64_t heads, double dropout, bool causal) {
  const auto split = [heads](const at::Tensor &t) { return by_head(t, heads).transpose(1, 2); }; // (B, H, T, D/H)
  const auto y = at::scaled_dot_product_attention(split(x), split(keys), split(values),
      mask.defined() ? std::make_optional(mask) : std::nullopt, dropout, causal);
  return y.transpose(1, 2).flatten(2); // (B, T, D)
}

// A CPU has no such operation, and takes row by row.
at::Tensor attention_by_row(const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &starts, int64_t heads) {
  auto out = at::zeros_like(x);
  const auto *start = starts.data_ptr<int32_t>();
  for (int64_t i = 0; i + 1 < starts.size(0); i++) {
    const auto cut = [&](const at::Tensor &t) { return t.slice(0, start[i], start[i + 1]).unsqueeze(0); };
    const auto row = [&](const at::Tensor &t) { return x.dim() == 3 ? t.slice(0, i, i + 1) : cut(t); };
    row(out).copy_(attention(row(x), cut(keys), cut(values), {}, heads, 0, false));
  }
  return out;
}

at::Tensor packed_attention(const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &starts, int64_t longest, int64_t heads) {
  if (!x.is_cuda()) return attention_by_row(x, keys, values, starts, heads);
  auto from = starts;
  int64_t most = longest;
  if (x.dim() == 3) {
    most = x.size(1);
    from = at::arange(0, (x.size(0) + 1) * most, most, starts.options()); // (B + 1)
  }
  const int64_t width = x.size(-1) / heads;
  const auto split = [&](const at::Tensor &t) { // (1, N, H, D/H), the last a multiple of 8
    const auto cut = by_head(t, heads).unsqueeze(0);
    return width % 8 == 0 ? cut : at::constant_pad_nd(cut, {0, 8 - width % 8});
  };
  const auto y = std::get<0>(at::_efficient_attention_forward(split(x.view({-1, x.size(-1)})), split(keys), split(values),
      std::nullopt, from, starts, most, longest, 0, 0, false, 1 / std::sqrt(static_cast<double>(width))));
  return y.narrow(-1, 0, width).reshape(x.sizes());
}

at::Tensor path_attention(const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &mask, int64_t heads) {
  constexpr unsigned warps = 8, warp = 32;
  int width = x.size(2) / heads, beams = x.size(1), tokens = keys.size(1), count = heads;
  if (!cuda::compiled_for(x) || width > 2 * static_cast<int>(warp)) return attention(x, keys, values, mask, heads, 0, false);
  const auto query = x.contiguous(), k = keys.contiguous(), v = values.contiguous(), seen = mask.contiguous();
  auto out = at::empty_like(query);
  const void *from[] = {query.const_data_ptr(), k.const_data_ptr(), v.const_data_ptr(), seen.const_data_ptr()};
  void *to = out.mutable_data_ptr();
  int all = x.size(0) * beams * heads;
  void *arguments[] = {&from[0], &from[1], &from[2], &from[3], &to, &all, &beams, &tokens, &count, &width};
  cuda::launch("path_attention", x, (all + warps - 1) / warps, warps * warp, 0, arguments);
  return out;
}

at::Tensor add_norm(const at::Tensor &x, const at::Tensor &block, const at::Tensor &weight, const at::Tensor &bias, double epsilon) {
  constexpr unsigned warps = 4, warp = 32;
  int width = x.size(-1);
  if (!cuda::compiled_for(x) || width > 2048 || width % 8 != 0) {
    return at::layer_norm(x + block, {width}, weight, bias, epsilon);
  }
  const auto a = x.contiguous(), b = block.contiguous();
  auto out = at::empty_like(a);
  const void *from[] = {a.const_data_ptr(), b.const_data_ptr(), weight.const_data_ptr(), bias.const_data_ptr()};
  void *to = out.mutable_data_ptr();
  int rows = a.numel() / width;
  auto small = static_cast<float>(epsilon);
  void *arguments[] = {&from[0], &from[1], &from[2], &from[3], &to, &rows, &width, &small};
  cuda::launch("add_norm", x, (rows + warps - 1) / warps, warps * warp, warps * width * sizeof(float), arguments);
  return out;
}

// Whether loops over float32 in memory may take the place of libtorch's operations.
bool in_loops(const at::Tensor &x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && c10::InferenceMode::is_enabled();
}

// Calls each(row) for the rows of a matrix of a width.
template <typename Each> void each_row(int64_t rows, int64_t width, Each each) {
  constexpr int64_t worth_a_thread = 32 << 10; // numbers
  at::parallel_for(0, rows, std::max<int64_t>(1, worth_a_thread / width), [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) each(row);
  });
}

at::Tensor log_probs_in_loops(const at::Tensor &logits, const at::Tensor &columns) {
  const auto x = logits.contiguous(), chosen = columns.contiguous();
  const int64_t width = x.size(1), count = chosen.size(1);
  auto out = at::empty(chosen.sizes(), x.options());
  each_row(x.size(0), width, [&](int64_t row) {
    const float *from = x.const_data_ptr<float>() + row * width;
    const auto *at = chosen.const_data_ptr<int64_t>() + row * count;
    float *to = out.mutable_data_ptr<float>() + row * count;
    const float whole = loops::log_sum_exp(from, width);
    for (int64_t i = 0; i < count; i++) to[i] = from[at[i]] - whole;
  });
  return out;
}

at::Tensor log_probs(const at::Tensor &logits, const at::Tensor &columns) {
  if (in_loops(logits)) return log_probs_in_loops(logits, columns);
  if (!cuda::compiled_for(logits)) return at::log_softmax(logits, -1, at::kFloat).gather(1, columns);
  const auto x = logits.contiguous();
  auto sums = at::empty({x.size(0), 1}, x.options().dtype(at::kFloat));
  const void *from = x.const_data_ptr();
  void *to = sums.mutable_data_ptr();
  int width = x.size(1);
  void *arguments[] = {&from, &to, &width};
  cuda::launch("log_sum_exp", x, x.size(0), 512, 0, arguments);
  return x.gather(1, columns).to(at::kFloat).sub_(sums);
}

at::Tensor largest(const at::Tensor &x, int64_t k) {
  if (!in_loops(x)) return std::get<1>(at::topk(x, k, -1));
  const auto all = x.contiguous();
  const int64_t width = all.size(1);
  auto out = at::empty({all.size(0), k}, at::TensorOptions().dtype(at::kLong));
  each_row(all.size(0), width, [&](int64_t row) {
    loops::largest(all.const_data_ptr<float>() + row * width, width, k, out.mutable_data_ptr<int64_t>() + row * k);
  });
  return out;
}

} // namespace

void *genrec_attention(void *x, void *keys, void *values, void *mask, int64_t heads, double dropout, int causal, char **error) {
  return guarded(error, [&] { return attention(tensor(x), tensor(keys), tensor(values), tensor(mask), heads, dropout, causal != 0); });
}

void *genrec_packed_attention(void *x, void *keys, void *values, void *starts, int64_t longest, int64_t heads, char **error) {
  return guarded(error, [&] { return packed_attention(tensor(x), tensor(keys), tensor(values), tensor(starts), longest, heads); });
}

void *genrec_path_attention(void *x, void *keys, void *values, void *mask, int64_t heads, char **error) {
  return guarded(error, [&] { return path_attention(tensor(x), tensor(keys), tensor(values), tensor(mask), heads); });
}

void *genrec_add_norm(void *x, void *block, void *weight, void *bias, double epsilon, char **error) {
  return guarded(error, [&] { return add_norm(tensor(x), tensor(block), tensor(weight), tensor(bias), epsilon); });
}

void *genrec_log_probs(void *logits, void *columns, char **error) {
  return guarded(error, [&] { return log_probs(tensor(logits), tensor(columns)); });
}

void *genrec_largest(void *x, int64_t k, char **error) {
  return guarded(error, [&] { return largest(tensor(x), k); });
}

int genrec_compile_kernels(const char *source, char **error) {
  try {
    cuda::compile(source);
    return 1;
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return 0;
  }
}
