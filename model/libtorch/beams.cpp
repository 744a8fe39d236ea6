#include "beams.h"
#include "binding.h"
#include "simd.h"

#include <ATen/Functions.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

struct continuation {
  float score;
  int64_t slot; // beam * A + child
  bool operator<(const continuation &other) const { return score != other.score ? score > other.score : slot < other.slot; }
};

} // namespace

int genrec_fused_expand_beams(void *logits, void *nodes, void *scores, void *child_tokens, void *child_nodes, void *child_bias, int64_t keep, void *out[4], char **error) {
  return guarded(error, [&] {
    const auto all_logits = tensor(logits).contiguous(), all_nodes = tensor(nodes).contiguous(), all_scores = tensor(scores).contiguous();
    const int64_t rows = all_nodes.size(0), beams = all_nodes.size(1), fan_out = tensor(child_tokens).size(1), vocabulary = all_logits.size(1);
    const auto *child_token = tensor(child_tokens).const_data_ptr<int64_t>(), *child_node = tensor(child_nodes).const_data_ptr<int64_t>();
    const float *bias = tensor(child_bias).const_data_ptr<float>();
    keep = std::min(keep, beams * fan_out);
    const auto integers = at::TensorOptions().dtype(at::kLong);
    auto best = at::full({rows, keep}, -std::numeric_limits<float>::infinity());
    auto best_tokens = at::zeros({rows, keep}, integers), best_nodes = at::zeros({rows, keep}, integers), parents = at::zeros({rows, keep}, integers);

    std::vector<continuation> found;
    for (int64_t row = 0; row < rows; row++) {
      found.clear();
      const auto *node = all_nodes.const_data_ptr<int64_t>() + row * beams;
      for (int64_t beam = 0; beam < beams; beam++) {
        const float *logit = all_logits.const_data_ptr<float>() + (row * beams + beam) * vocabulary;
        const float score = all_scores.const_data_ptr<float>()[row * beams + beam];
        if (std::isinf(score)) continue;
        const float total = simd::log_sum_exp(logit, vocabulary);
        if (!std::isfinite(total)) throw std::domain_error("the logits of a beam search are not finite");
        for (int64_t i = node[beam] * fan_out, end = i + fan_out; i < end; i++) {
          if (bias[i] == 0) found.push_back({logit[child_token[i]] - total + score, beam * fan_out + i % fan_out});
        }
      }
      const auto count = std::min<int64_t>(keep, found.size());
      std::partial_sort(found.begin(), found.begin() + count, found.end());
      for (int64_t i = 0; i < count; i++) {
        const int64_t parent = found[i].slot / fan_out, child = node[parent] * fan_out + found[i].slot % fan_out, to = row * keep + i;
        best.mutable_data_ptr<float>()[to] = found[i].score;
        best_tokens.mutable_data_ptr<int64_t>()[to] = child_token[child];
        best_nodes.mutable_data_ptr<int64_t>()[to] = child_node[child];
        parents.mutable_data_ptr<int64_t>()[to] = parent;
      }
    }
    out[0] = new at::Tensor(best);
    out[1] = new at::Tensor(best_tokens);
    out[2] = new at::Tensor(best_nodes);
    out[3] = new at::Tensor(parents);
  });
}
