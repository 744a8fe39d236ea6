#pragma once
#include <cstdint>

// Vectorized loops over float32 in memory, for a CPU.
namespace simd {

// Writes a row a number of times, one after the other.
void repeat(const float *row, float *to, int64_t times, int64_t width);

// Replaces rows by softmax(scale * x + bias). The bias may be null; each row's begins bias_step
// behind that of the row before.
void softmax(float *x, int64_t rows, int64_t width, float scale, const float *bias, int64_t bias_step);

// The exact Gaussian error linear unit, in place.
void gelu(float *x, int64_t count);

// The layer norm of x + sublayer over rows of a width, with weight and bias.
void add_norm(const float *x, const float *sublayer, const float *weight, const float *bias, float epsilon, float *to, int64_t rows, int64_t width);

// log(sum(exp(x))).
float log_sum_exp(const float *x, int64_t count);

// Adds the products of a vector and some rows of a table: to[i] += x . table[rows[i]].
void add_products(const float *x, const float *table, const int64_t *rows, int64_t count, int64_t width, float *to);

// The indices of the k largest numbers, k at most count, largest first; of equal ones the first.
// It throws if fewer than k of x are numbers.
void top_indices(const float *x, int64_t count, int64_t k, int64_t *to);

} // namespace simd
