#pragma once
#include <cstdint>

// Loops over float32 numbers in memory, for a CPU.
namespace loops {

// Writes a row as often as asked for, one after the other.
void repeat(const float *row, float *to, int64_t times, int64_t width);

// Turns rows into the softmax of scale * x + bias, each in place; bias may be null, and a
// row's is bias_step behind that of the row before.
void softmax(float *x, int64_t rows, int64_t width, float scale, const float *bias, int64_t bias_step);

// The exact Gaussian error linear unit, in place.
void gelu(float *x, int64_t count);

// The layer norm of x + block over rows of a width, with weight and bias.
void add_norm(const float *x, const float *block, const float *weight, const float *bias, float epsilon, float *to, int64_t rows, int64_t width);

// log(sum(exp(x))).
float log_sum_exp(const float *x, int64_t count);

// The places of the k largest numbers, k at most count, largest first, of equals the first. It
// throws if there are fewer numbers than k among x.
void largest(const float *x, int64_t count, int64_t k, int64_t *to);

} // namespace loops
