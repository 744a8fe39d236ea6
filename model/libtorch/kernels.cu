// Kernels for operations that take libtorch several passes over a GPU's memory. NVRTC compiles them
// at run time for the GPU at hand, so they include no headers.

struct bfloat16 { unsigned short bits; };

template <typename T> struct alignas(16) pack { T of[16 / sizeof(T)]; };

__device__ float widen(float x) { return x; }
__device__ float widen(bfloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

__device__ void narrow(float x, float &to) { to = x; }
__device__ void narrow(float x, bfloat16 &to) { // round to nearest, ties to even
  const unsigned bits = __float_as_uint(x);
  to.bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

constexpr int warp = 32;

__device__ float infinity() { return __int_as_float(0x7f800000); }

__device__ float warp_sum(float x) {
  for (int i = warp / 2; i > 0; i /= 2) x += __shfl_xor_sync(~0u, x, i);
  return x;
}

// A sum of exponentials, as sum * exp(most): it cannot overflow.
struct exponentials {
  float most = -infinity(), sum = 0;
  __device__ void add(exponentials other) {
    const float more = fmaxf(most, other.most);
    if (more == -infinity()) return;
    sum = sum * __expf(most - more) + other.sum * __expf(other.most - more);
    most = more;
  }
};

// out (R) = log(sum(exp(x))) of each row of x (R, columns); one block per row.
template <typename T> __device__ void log_sum_exp(const T *x, float *out, int columns) {
  constexpr int each = 16 / sizeof(T);
  const T *row = x + static_cast<long long>(blockIdx.x) * columns;
  exponentials mine;
  if (columns % each == 0) {
    for (int i = threadIdx.x; i < columns / each; i += blockDim.x) {
      const auto p = reinterpret_cast<const pack<T> *>(row)[i];
      exponentials few;
      for (int j = 0; j < each; j++) few.most = fmaxf(few.most, widen(p.of[j]));
      if (few.most == -infinity()) continue;
      for (int j = 0; j < each; j++) few.sum += __expf(widen(p.of[j]) - few.most);
      mine.add(few);
    }
  } else {
    for (int i = threadIdx.x; i < columns; i += blockDim.x) mine.add({widen(row[i]), 1});
  }
  __shared__ exponentials of[warp];
  for (int i = warp / 2; i > 0; i /= 2) {
    mine.add({__shfl_xor_sync(~0u, mine.most, i), __shfl_xor_sync(~0u, mine.sum, i)});
  }
  if (threadIdx.x % warp == 0) of[threadIdx.x / warp] = mine;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < blockDim.x / warp; i++) mine.add(of[i]);
    out[blockIdx.x] = mine.most + logf(mine.sum);
  }
}

// out = layer_norm(x + sublayer), all (rows, width); one warp per row. A block has shared memory for
// as many rows as it has warps. The width is a multiple of a pack.
template <typename T>
__device__ void add_norm(const T *x, const T *sublayer, const T *weight, const T *bias, T *out, int rows, int width, float epsilon) {
  extern __shared__ float sums[];
  constexpr int each = 16 / sizeof(T);
  const int lane = threadIdx.x % warp, place = threadIdx.x / warp;
  const int row = blockIdx.x * (blockDim.x / warp) + place;
  if (row >= rows) return;
  const int packs = width / each;
  float *own = sums + place * width; // [each][packs]: the lanes of a warp use different banks
  const auto *a = reinterpret_cast<const pack<T> *>(x + static_cast<long long>(row) * width);
  const auto *b = reinterpret_cast<const pack<T> *>(sublayer + static_cast<long long>(row) * width);
  float sum = 0;
  for (int i = lane; i < packs; i += warp) {
    const auto left = a[i], right = b[i];
    for (int j = 0; j < each; j++) {
      const float s = widen(left.of[j]) + widen(right.of[j]);
      own[j * packs + i] = s;
      sum += s;
    }
  }
  const float mean = warp_sum(sum) / width;
  float squares = 0;
  for (int i = lane; i < packs; i += warp) {
    for (int j = 0; j < each; j++) {
      const float distance = own[j * packs + i] - mean;
      squares += distance * distance;
    }
  }
  const float scale = rsqrtf(warp_sum(squares) / width + epsilon);
  auto *to = reinterpret_cast<pack<T> *>(out + static_cast<long long>(row) * width);
  for (int i = lane; i < packs; i += warp) {
    const auto w = reinterpret_cast<const pack<T> *>(weight)[i], shift = reinterpret_cast<const pack<T> *>(bias)[i];
    pack<T> p;
    for (int j = 0; j < each; j++) {
      narrow((own[j * packs + i] - mean) * scale * widen(w.of[j]) + widen(shift.of[j]), p.of[j]);
    }
    to[i] = p;
  }
}

// out (B, K, D) is attention from query (B, K, D) to those of keys and values (B, T, D) for which
// the mask (B, K, T) is 0: the few of all tokens that are a beam's ancestors. One warp per head of a
// beam; a head is at most two warps wide. Softmax is computed online (as in FlashAttention).
template <typename T>
__device__ void tree_attention(const T *query, const T *keys, const T *values, const T *mask, T *out, int all, int beams, int tokens, int heads, int width) {
  constexpr int most = 2; // loops over it are unrolled, so that arrays stay in registers
  const int lane = threadIdx.x % warp;
  const int number = blockIdx.x * (blockDim.x / warp) + threadIdx.x / warp;
  if (number >= all) return;
  const int head = number % heads, beam = number / heads, row = beam / beams;
  const long long stride = static_cast<long long>(heads) * width;
  const T *own = query + beam * stride + head * width;
  float q[most], sum[most] = {};
  const float scale = rsqrtf(width);
#pragma unroll
  for (int i = 0; i < most; i++) q[i] = lane + i * warp < width ? widen(own[lane + i * warp]) * scale : 0;

  float highest = -infinity(), total = 0;
  for (int from = 0; from < tokens; from += warp) {
    const bool visible = from + lane < tokens && widen(mask[static_cast<long long>(beam) * tokens + from + lane]) == 0;
    for (unsigned path = __ballot_sync(~0u, visible); path != 0; path &= path - 1) {
      const long long at = (static_cast<long long>(row) * tokens + from + __ffs(path) - 1) * stride + head * width;
      float score = 0;
#pragma unroll
      for (int i = 0; i < most; i++) score += lane + i * warp < width ? q[i] * widen(keys[at + lane + i * warp]) : 0;
      score = warp_sum(score);
      const float higher = fmaxf(highest, score), kept = __expf(highest - higher), share = __expf(score - higher);
#pragma unroll
      for (int i = 0; i < most; i++) {
        sum[i] = sum[i] * kept + (lane + i * warp < width ? share * widen(values[at + lane + i * warp]) : 0);
      }
      total = total * kept + share;
      highest = higher;
    }
  }
#pragma unroll
  for (int i = 0; i < most; i++) {
    if (lane + i * warp < width) narrow(sum[i] / total, out[beam * stride + head * width + lane + i * warp]);
  }
}

#define KERNELS(T, suffix)                                                                                             \
  extern "C" __global__ void log_sum_exp_##suffix(const T *x, float *out, int columns) {                               \
    log_sum_exp(x, out, columns);                                                                                      \
  }                                                                                                                    \
  extern "C" __global__ void add_norm_##suffix(const T *x, const T *sublayer, const T *weight, const T *bias, T *out,  \
                                               int rows, int width, float epsilon) {                                   \
    add_norm(x, sublayer, weight, bias, out, rows, width, epsilon);                                                    \
  }                                                                                                                    \
  extern "C" __global__ void tree_attention_##suffix(const T *query, const T *keys, const T *values, const T *mask,    \
                                                     T *out, int all, int beams, int tokens, int heads, int width) {   \
    tree_attention(query, keys, values, mask, out, all, beams, tokens, heads, width);                                  \
  }

KERNELS(float, float32)
KERNELS(bfloat16, bfloat16)
