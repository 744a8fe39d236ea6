#include "kernels.h"
#include "binding.h"
#include "cuda.h"

#include <ATen/Functions.h>

namespace {

constexpr unsigned warp = 32;

at::Tensor add_norm(const at::Tensor &x, const at::Tensor &sublayer, const at::Tensor &weight, const at::Tensor &bias, double epsilon) {
  constexpr unsigned warps = 4;
  int width = x.size(-1);
  const auto a = x.contiguous(), b = sublayer.contiguous();
  auto out = at::empty_like(a);
  const void *inputs[] = {a.const_data_ptr(), b.const_data_ptr(), weight.const_data_ptr(), bias.const_data_ptr()};
  void *to = out.mutable_data_ptr();
  int rows = a.numel() / width;
  auto small = static_cast<float>(epsilon);
  void *arguments[] = {&inputs[0], &inputs[1], &inputs[2], &inputs[3], &to, &rows, &width, &small};
  cuda::launch("add_norm", x, (rows + warps - 1) / warps, warps * warp, warps * width * sizeof(float), arguments);
  return out;
}

at::Tensor tree_attention(const at::Tensor &query, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &mask, int64_t heads) {
  constexpr unsigned warps = 8;
  int width = query.size(2) / heads, beams = query.size(1), tokens = keys.size(1), head_count = heads;
  const auto q = query.contiguous(), k = keys.contiguous(), v = values.contiguous(), m = mask.contiguous();
  auto out = at::empty_like(q);
  const void *inputs[] = {q.const_data_ptr(), k.const_data_ptr(), v.const_data_ptr(), m.const_data_ptr()};
  void *to = out.mutable_data_ptr();
  int all = query.size(0) * beams * heads;
  void *arguments[] = {&inputs[0], &inputs[1], &inputs[2], &inputs[3], &to, &all, &beams, &tokens, &head_count, &width};
  cuda::launch("tree_attention", query, (all + warps - 1) / warps, warps * warp, 0, arguments);
  return out;
}

at::Tensor log_probs(const at::Tensor &logits, const at::Tensor &columns) {
  const auto x = logits.contiguous();
  auto sums = at::empty({x.size(0), 1}, x.options().dtype(at::kFloat));
  const void *from = x.const_data_ptr();
  void *to = sums.mutable_data_ptr();
  int width = x.size(1);
  void *arguments[] = {&from, &to, &width};
  cuda::launch("log_sum_exp", x, x.size(0), 512, 0, arguments);
  return x.gather(1, columns).to(at::kFloat).sub_(sums);
}

} // namespace

int genrec_compile_kernels(const char *source, char **error) {
  return guarded(error, [&] { cuda::compile(source); });
}

int genrec_kernels_compiled(void) { return cuda::compiled(); }

void *genrec_kernel_add_norm(void *x, void *sublayer, void *weight, void *bias, double epsilon, char **error) {
  return new_tensor(error, [&] { return add_norm(tensor(x), tensor(sublayer), tensor(weight), tensor(bias), epsilon); });
}

void *genrec_kernel_tree_attention(void *query, void *keys, void *values, void *mask, int64_t heads, char **error) {
  return new_tensor(error, [&] { return tree_attention(tensor(query), tensor(keys), tensor(values), tensor(mask), heads); });
}

void *genrec_kernel_log_probs(void *logits, void *columns, char **error) {
  return new_tensor(error, [&] { return log_probs(tensor(logits), tensor(columns)); });
}
