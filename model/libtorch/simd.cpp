#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

// GCC vectorizes loops with comparisons and math functions only if the former cannot trap and the
// latter do not set errno.
#pragma GCC optimize("no-trapping-math", "no-math-errno")

// Compiles each loop for several instruction sets; the dynamic linker picks the CPU's best one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif
#define INLINED static inline __attribute__((always_inline))

namespace {

constexpr float lowest = -87; // exp(lowest) is about the smallest normal float

// exp(x) for x <= 0, to about one unit in the last place: 2^n by its exponent bits, times the
// Taylor polynomial of the remainder, which is at most log(2)/2 from 0.
INLINED float exponential(float x) {
  constexpr float log2e = 1.44269504f, high = 0.693359375f, low = -2.12194440e-4f; // high + low = log(2)
  constexpr float shift = 12582912;                                               // 1.5 * 2^23: adding it rounds
  const float clamped = x < lowest ? lowest : x;
  const float shifted = clamped * log2e + shift;
  const float n = shifted - shift;
  const float r = (clamped - n * high) - n * low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1;
  p = p * r + 1;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  const float result = p * __builtin_bit_cast(float, bits);
  return x < lowest ? 0 : result;
}

INLINED float maximum(const float *x, int64_t count) {
  float most = -INFINITY;
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < count; i++) most = x[i] > most ? x[i] : most;
  return most;
}

} // namespace

namespace simd {

void repeat(const float *row, float *to, int64_t times, int64_t width) {
  for (int64_t i = 0; i < times; i++) memcpy(to + i * width, row, width * sizeof(float));
}

VECTORIZED void softmax(float *x, int64_t rows, int64_t width, float scale, const float *bias, int64_t bias_step) {
  for (int64_t row = 0; row < rows; row++, x += width) {
    if (bias != nullptr) {
#pragma omp simd
      for (int64_t i = 0; i < width; i++) x[i] = x[i] * scale + bias[i];
      bias += bias_step;
    } else {
#pragma omp simd
      for (int64_t i = 0; i < width; i++) x[i] *= scale;
    }
    const float most = maximum(x, width);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) {
      x[i] = exponential(x[i] - most);
      sum += x[i];
    }
    const float share = 1 / sum;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) x[i] *= share;
  }
}

// Uses the approximation of erfc in Abramowitz and Stegun, 7.1.26, whose error is at most 1.5e-7.
VECTORIZED void gelu(float *x, int64_t count) {
  constexpr float root = 0.70710678f;
#pragma omp simd
  for (int64_t i = 0; i < count; i++) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i], z = magnitude * root;
    const float t = 1 / (1 + 0.3275911f * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float beyond = p * t * exponential(-z * z); // erfc(z)
    x[i] = (x[i] > 0 ? x[i] : 0) - 0.5f * magnitude * beyond;
  }
}

VECTORIZED void add_norm(const float *x, const float *sublayer, const float *weight, const float *bias, float epsilon, float *to, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, x += width, sublayer += width, to += width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) {
      to[i] = x[i] + sublayer[i];
      sum += to[i];
    }
    const float mean = sum / width;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; i++) squares += (to[i] - mean) * (to[i] - mean);
    const float scale = 1 / std::sqrt(squares / width + epsilon);
#pragma omp simd
    for (int64_t i = 0; i < width; i++) to[i] = (to[i] - mean) * scale * weight[i] + bias[i];
  }
}

namespace {

constexpr int64_t block = 16;

// The largest number of each block; NaN counts as the smallest.
VECTORIZED void block_maxima(const float *x, int64_t blocks, float *to) {
  for (int64_t i = 0; i < blocks; i++, x += block) to[i] = maximum(x, block);
}

} // namespace

// The kth largest of all block maxima is a lower bound of the kth largest number, and a tight one
// where there are many blocks: only the numbers above it are sorted.
void top_indices(const float *x, int64_t count, int64_t k, int64_t *to) {
  thread_local std::vector<float> maxima, ordered;
  thread_local std::vector<std::pair<float, int64_t>> candidates;
  const int64_t blocks = count / block;
  float least = -INFINITY;
  maxima.resize(blocks);
  block_maxima(x, blocks, maxima.data());
  if (blocks > 2 * k && k > 0) {
    ordered = maxima;
    std::nth_element(ordered.begin(), ordered.begin() + k - 1, ordered.end(), std::greater<float>());
    least = ordered[k - 1];
  }
  candidates.clear();
  for (int64_t b = 0; b <= blocks; b++) {
    if (b < blocks && maxima[b] < least) continue;
    for (int64_t i = b * block; i < std::min(count, (b + 1) * block); i++) {
      if (x[i] >= least) candidates.emplace_back(-x[i], i);
    }
  }
  if (static_cast<int64_t>(candidates.size()) < k) throw std::domain_error("item scores are NaN");
  std::partial_sort(candidates.begin(), candidates.begin() + k, candidates.end());
  for (int64_t i = 0; i < k; i++) to[i] = candidates[i].second;
}

VECTORIZED void add_products(const float *x, const float *table, const int64_t *rows, int64_t count, int64_t width, float *to) {
  for (int64_t i = 0; i < count; i++) {
    const float *row = table + rows[i] * width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < width; j++) sum += x[j] * row[j];
    to[i] += sum;
  }
}

VECTORIZED float log_sum_exp(const float *x, int64_t count) {
  const float most = maximum(x, count);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; i++) sum += exponential(x[i] - most);
  return most + std::log(sum);
}

} // namespace simd
