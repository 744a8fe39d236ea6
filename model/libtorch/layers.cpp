#include "layers.h"
#include "loops.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

// Of the BLAS that libtorch has; matrices are column by column there.
extern "C" void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha,
    const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c, const int *ldc);

namespace {

const at::Tensor &tensor(void *handle) { return *static_cast<at::Tensor *>(handle); }

const float *floats(const at::Tensor &t) { return t.const_data_ptr<float>(); }
const float *floats(void *handle) { return floats(tensor(handle)); }

template <typename Operation> int guarded(char **error, Operation operation) {
  try {
    operation();
    return 1;
  } catch (const std::exception &e) {
    *error = strdup(e.what());
    return 0;
  }
}

// Enough numbers for a thread to be woken for.
constexpr int64_t worth_a_thread = 32 << 10;

// Calls each(from, to) for parts of a number of rows of a width.
template <typename Each> void in_rows(int64_t rows, int64_t width, Each each) {
  at::parallel_for(0, rows, std::max<int64_t>(1, worth_a_thread / width), each);
}

// The product of a matrix (m, k), whose rows are a_step apart, and another one's transpose,
// (n, k), or the matrix itself, (k, n).
void product(bool transposed, int m, int n, int k, float scale, const float *a, int a_step, const float *b, int b_step, float kept, float *to, int to_step) {
  sgemm_(transposed ? "T" : "N", "N", &n, &m, &k, &scale, b, &b_step, a, &a_step, &kept, to, &to_step);
}

// x (..., in) to (..., out).
at::Tensor project(const at::Tensor &x, const genrec_projection &p) {
  const auto &weight = tensor(p.weight);
  const int in = weight.size(1), out = weight.size(0), rows = x.numel() / in;
  auto sizes = x.sizes().vec();
  sizes.back() = out;
  auto y = at::empty(sizes, x.options());
  float *to = y.mutable_data_ptr<float>();
  loops::repeat(floats(p.bias), to, rows, out);
  product(true, rows, out, in, 1, floats(x), in, floats(weight), in, 1, to, out);
  return y;
}

at::Tensor add_and_norm(const at::Tensor &x, const at::Tensor &block, const genrec_norm &norm) {
  auto y = at::empty_like(x);
  const int64_t width = x.size(-1);
  in_rows(x.numel() / width, width, [&](int64_t from, int64_t to) {
    loops::add_norm(floats(x) + from * width, floats(block) + from * width, floats(norm.weight), floats(norm.bias), norm.epsilon,
        y.mutable_data_ptr<float>() + from * width, to - from, width);
  });
  return y;
}

// What attention adds to its scores: nothing, or a number for each query and key of a request.
struct bias {
  at::Tensor all; // (B or 1, 1, T or 1, S)
  int64_t by_request = 0, by_query = 0;

  bias() = default;
  explicit bias(const at::Tensor &mask) : all(mask.contiguous()) {
    if (all.size(0) > 1) by_request = all.stride(0);
    if (all.size(2) > 1) by_query = all.stride(2);
  }
  const float *of(int64_t request) const { return all.defined() ? floats(all) + request * by_request : nullptr; }
};

bias causal_bias(int64_t length, int64_t earlier) {
  auto all = at::zeros({1, 1, length, earlier + length}, at::kFloat);
  float *at = all.mutable_data_ptr<float>();
  for (int64_t query = 0; query < length; query++, at += earlier + length) {
    std::fill(at + earlier + query + 1, at + earlier + length, -std::numeric_limits<float>::infinity());
  }
  return bias(all);
}

// Attends from x (B, T, D) to keys and values (B, S, D).
at::Tensor attend(const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const bias &added, int64_t heads) {
  const int64_t requests = x.size(0), queries = x.size(1), width = x.size(2), length = keys.size(1), part = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(part));
  auto y = at::empty_like(x);
  float *out = y.mutable_data_ptr<float>();
  at::parallel_for(0, requests * heads, std::max<int64_t>(1, worth_a_thread / (queries * length)), [&](int64_t from, int64_t to) {
    std::vector<float> scores(queries * length);
    for (int64_t i = from; i < to; i++) {
      const int64_t request = i / heads, column = i % heads * part;
      const auto at = [&](int64_t rows) { return request * rows * width + column; };
      product(true, queries, length, part, 1, floats(x) + at(queries), width, floats(keys) + at(length), width, 0, scores.data(), length);
      loops::softmax(scores.data(), queries, length, scale, added.of(request), added.by_query);
      product(false, queries, part, length, 1, scores.data(), length, floats(values) + at(length), width, 0, out + at(queries), width);
    }
  });
  return y;
}

at::Tensor attention_block(const genrec_attention_block &block, const at::Tensor &x, const at::Tensor &keys, const at::Tensor &values, const bias &added) {
  const auto attended = attend(project(x, block.query), keys, values, added, block.heads);
  return add_and_norm(x, project(attended, block.join), block.norm);
}

struct continuation {
  float score;
  int64_t place; // of the beam and its child: K * A
  bool operator<(const continuation &other) const { return score != other.score ? score > other.score : place < other.place; }
};

} // namespace

int genrec_self_attention_block(const genrec_attention_block *block, void *x, void *keys, void *values, void *mask, int causal, void *out[3], char **error) {
  return guarded(error, [&] {
    const auto input = tensor(x).contiguous();
    auto all_keys = project(input, block->key), all_values = project(input, block->value);
    int64_t earlier = 0;
    if (keys != nullptr) {
      earlier = tensor(keys).size(1);
      all_keys = at::cat({tensor(keys), all_keys}, 1);
      all_values = at::cat({tensor(values), all_values}, 1);
    }
    const auto &given = tensor(mask);
    const auto added = causal ? causal_bias(input.size(1), earlier) : given.defined() ? bias(given) : bias();
    out[0] = new at::Tensor(attention_block(*block, input, all_keys, all_values, added));
    out[1] = new at::Tensor(all_keys);
    out[2] = new at::Tensor(all_values);
  });
}

int genrec_cross_attention_block(const genrec_attention_block *block, void *x, void *keys, void *values, void *mask, void **out, char **error) {
  return guarded(error, [&] {
    const auto &given = tensor(mask);
    *out = new at::Tensor(attention_block(*block, tensor(x).contiguous(), tensor(keys).contiguous(), tensor(values).contiguous(), given.defined() ? bias(given) : bias()));
  });
}

int genrec_feed_forward_block(genrec_projection in, genrec_projection back, genrec_norm norm, void *x, void **out, char **error) {
  return guarded(error, [&] {
    const auto input = tensor(x).contiguous();
    auto inner = project(input, in);
    const int64_t width = inner.size(-1);
    in_rows(inner.numel() / width, width, [&](int64_t from, int64_t to) {
      loops::gelu(inner.mutable_data_ptr<float>() + from * width, (to - from) * width);
    });
    *out = new at::Tensor(add_and_norm(input, project(inner, back), norm));
  });
}

int genrec_continue(void *logits, void *nodes, void *scores, void *child_token, void *child_node, void *child_bias, int64_t keep, void *out[4], char **error) {
  return guarded(error, [&] {
    const auto all = tensor(logits).contiguous(), at = tensor(nodes).contiguous(), sums = tensor(scores).contiguous();
    const int64_t requests = at.size(0), beams = at.size(1), fan_out = tensor(child_token).size(1), width = all.size(1);
    const auto *token = tensor(child_token).const_data_ptr<int64_t>(), *child = tensor(child_node).const_data_ptr<int64_t>();
    const float *missing = floats(child_bias);
    keep = std::min(keep, beams * fan_out);
    const auto numbers = at::TensorOptions().dtype(at::kLong);
    auto best = at::full({requests, keep}, -std::numeric_limits<float>::infinity());
    auto tokens = at::zeros({requests, keep}, numbers), next = at::zeros({requests, keep}, numbers), parents = at::zeros({requests, keep}, numbers);

    std::vector<continuation> found;
    for (int64_t request = 0; request < requests; request++) {
      found.clear();
      const auto *node = at.const_data_ptr<int64_t>() + request * beams;
      for (int64_t beam = 0; beam < beams; beam++) {
        const float *row = floats(all) + (request * beams + beam) * width;
        const float before = floats(sums)[request * beams + beam];
        if (std::isinf(before)) continue;
        const float whole = loops::log_sum_exp(row, width);
        if (!std::isfinite(whole)) throw std::domain_error("the logits of a search are not finite");
        for (int64_t i = node[beam] * fan_out, end = i + fan_out; i < end; i++) {
          if (missing[i] == 0) found.push_back({row[token[i]] - whole + before, beam * fan_out + i % fan_out});
        }
      }
      const auto count = std::min<int64_t>(keep, found.size());
      std::partial_sort(found.begin(), found.begin() + count, found.end());
      for (int64_t i = 0; i < count; i++) {
        const int64_t beam = found[i].place / fan_out, entry = node[beam] * fan_out + found[i].place % fan_out, to = request * keep + i;
        best.mutable_data_ptr<float>()[to] = found[i].score;
        tokens.mutable_data_ptr<int64_t>()[to] = token[entry];
        next.mutable_data_ptr<int64_t>()[to] = child[entry];
        parents.mutable_data_ptr<int64_t>()[to] = beam;
      }
    }
    out[0] = new at::Tensor(best);
    out[1] = new at::Tensor(tokens);
    out[2] = new at::Tensor(next);
    out[3] = new at::Tensor(parents);
  });
}
