#include "fused.h"
#include "binding.h"
#include "simd.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

// Of the BLAS in libtorch; its matrices are column-major.
extern "C" void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha,
    const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c, const int *ldc);

namespace {

const float *floats(const at::Tensor &t) { return t.const_data_ptr<float>(); }
const float *floats(void *handle) { return floats(tensor(handle)); }

// The least number of elements that are worth waking a thread for.
constexpr int64_t elements_per_thread = 32 << 10;

// Calls each(from, to) for ranges of rows of a width, on libtorch's threads.
template <typename Each> void parallel_rows(int64_t rows, int64_t width, Each each) {
  at::parallel_for(0, rows, std::max<int64_t>(1, elements_per_thread / width), each);
}

// to = scale * a·b + kept * to, row-major: a is (m, k), and b is (k, n), or (n, k) and transposed.
// A step is the distance between two rows of a matrix.
void gemm(bool transposed, int m, int n, int k, float scale, const float *a, int a_step, const float *b, int b_step, float kept, float *to, int to_step) {
  sgemm_(transposed ? "T" : "N", "N", &n, &m, &k, &scale, b, &b_step, a, &a_step, &kept, to, &to_step);
}

// x (..., in) to (..., out).
at::Tensor linear(const at::Tensor &x, const genrec_linear &l) {
  const auto &weight = tensor(l.weight);
  const int in = weight.size(1), out = weight.size(0), rows = x.numel() / in;
  auto sizes = x.sizes().vec();
  sizes.back() = out;
  auto y = at::empty(sizes, x.options());
  float *to = y.mutable_data_ptr<float>();
  simd::repeat(floats(l.bias), to, rows, out);
  gemm(true, rows, out, in, 1, floats(x), in, floats(weight), in, 1, to, out);
  return y;
}

at::Tensor add_norm(const at::Tensor &x, const at::Tensor &sublayer, const genrec_layer_norm &norm) {
  auto y = at::empty_like(x);
  const int64_t width = x.size(-1);
  parallel_rows(x.numel() / width, width, [&](int64_t from, int64_t to) {
    simd::add_norm(floats(x) + from * width, floats(sublayer) + from * width, floats(norm.weight), floats(norm.bias), norm.epsilon,
        y.mutable_data_ptr<float>() + from * width, to - from, width);
  });
  return y;
}

// A mask that is added to the scores of attention, or none.
struct additive_mask {
  at::Tensor values; // (B or 1, 1, T or 1, S)
  int64_t row_step = 0, query_step = 0;

  additive_mask() = default;
  explicit additive_mask(const at::Tensor &mask) {
    if (!mask.defined()) return;
    values = mask.contiguous();
    if (values.size(0) > 1) row_step = values.stride(0);
    if (values.size(2) > 1) query_step = values.stride(2);
  }
  const float *of(int64_t row) const { return values.defined() ? floats(values) + row * row_step : nullptr; }
};

// Hides from each of length positions those behind it, but none of the cached ones.
additive_mask causal_mask(int64_t length, int64_t cached) {
  auto values = at::zeros({1, 1, length, cached + length}, at::kFloat);
  float *at = values.mutable_data_ptr<float>();
  for (int64_t query = 0; query < length; query++, at += cached + length) {
    std::fill(at + cached + query + 1, at + cached + length, -std::numeric_limits<float>::infinity());
  }
  return additive_mask(values);
}

// query is (B, T, D), keys and values are (B, S, D).
at::Tensor attention(const at::Tensor &query, const at::Tensor &keys, const at::Tensor &values, const additive_mask &mask, int64_t heads) {
  const int64_t rows = query.size(0), queries = query.size(1), width = query.size(2), length = keys.size(1), head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  auto y = at::empty_like(query);
  float *out = y.mutable_data_ptr<float>();
  at::parallel_for(0, rows * heads, std::max<int64_t>(1, elements_per_thread / (queries * length)), [&](int64_t from, int64_t to) {
    std::vector<float> scores(queries * length); // (T, S)
    for (int64_t i = from; i < to; i++) {
      const int64_t row = i / heads, column = i % heads * head_width;
      const auto at = [&](int64_t positions) { return row * positions * width + column; };
      gemm(true, queries, length, head_width, 1, floats(query) + at(queries), width, floats(keys) + at(length), width, 0, scores.data(), length);
      simd::softmax(scores.data(), queries, length, scale, mask.of(row), mask.query_step);
      gemm(false, queries, head_width, length, 1, scores.data(), length, floats(values) + at(length), width, 0, out + at(queries), width);
    }
  });
  return y;
}

at::Tensor attention_layer(const genrec_attention_layer &layer, const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const additive_mask &mask) {
  const auto attended = attention(linear(x, layer.query), keys, values, mask, layer.heads);
  return add_norm(x, linear(attended, layer.out), layer.norm);
}

} // namespace

int genrec_fused_self_attention(const genrec_attention_layer *layer, void *x, void *cached_keys, void *cached_values, void *mask, int causal, void *out[3], char **error) {
  return guarded(error, [&] {
    const auto input = tensor(x).contiguous();
    auto keys = linear(input, layer->key), values = linear(input, layer->value);
    int64_t cached = 0;
    if (cached_keys != nullptr) {
      cached = tensor(cached_keys).size(1);
      keys = at::cat({tensor(cached_keys), keys}, 1);
      values = at::cat({tensor(cached_values), values}, 1);
    }
    const auto added = causal ? causal_mask(input.size(1), cached) : additive_mask(tensor(mask));
    out[0] = new at::Tensor(attention_layer(*layer, input, keys, values, added));
    out[1] = new at::Tensor(keys);
    out[2] = new at::Tensor(values);
  });
}

int genrec_fused_cross_attention(const genrec_attention_layer *layer, void *x, void *keys, void *values, void *mask, void **out, char **error) {
  return guarded(error, [&] {
    *out = new at::Tensor(attention_layer(*layer, tensor(x).contiguous(), tensor(keys).contiguous(), tensor(values).contiguous(), additive_mask(tensor(mask))));
  });
}

int genrec_fused_feed_forward(genrec_linear fc1, genrec_linear fc2, genrec_layer_norm norm, void *x, void **out, char **error) {
  return guarded(error, [&] {
    const auto input = tensor(x).contiguous();
    auto inner = linear(input, fc1);
    const int64_t width = inner.size(-1);
    parallel_rows(inner.numel() / width, width, [&](int64_t from, int64_t to) {
      simd::gelu(inner.mutable_data_ptr<float>() + from * width, (to - from) * width);
    });
    *out = new at::Tensor(add_norm(input, linear(inner, fc2), norm));
  });
}

int genrec_simd_log_probs(void *logits, void *columns, void **out, char **error) {
  return guarded(error, [&] {
    const auto x = tensor(logits).contiguous(), chosen = tensor(columns).contiguous();
    const int64_t width = x.size(1), count = chosen.size(1);
    auto log_probs = at::empty(chosen.sizes(), x.options());
    parallel_rows(x.size(0), width, [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; row++) {
        const float *logit = floats(x) + row * width;
        const auto *column = chosen.const_data_ptr<int64_t>() + row * count;
        float *log_prob = log_probs.mutable_data_ptr<float>() + row * count;
        const float total = simd::log_sum_exp(logit, width);
        for (int64_t i = 0; i < count; i++) log_prob[i] = logit[column[i]] - total;
      }
    });
    *out = new at::Tensor(log_probs);
  });
}

int genrec_simd_top_indices(void *x, int64_t k, void **out, char **error) {
  return guarded(error, [&] {
    const auto all = tensor(x).contiguous();
    const int64_t width = all.size(1);
    auto indices = at::empty({all.size(0), k}, at::TensorOptions().dtype(at::kLong));
    parallel_rows(all.size(0), width, [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; row++) {
        simd::top_indices(floats(all) + row * width, width, k, indices.mutable_data_ptr<int64_t>() + row * k);
      }
    });
    *out = new at::Tensor(indices);
  });
}
