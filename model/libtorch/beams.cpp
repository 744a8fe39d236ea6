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

int genrec_fused_expand_leaves(void *query, void *table, void *nodes, void *scores, void *child_items, double path_weight, int64_t keep, void *proposals, void *out[2], char **error) {
  return guarded(error, [&] {
    const auto queries = tensor(query).contiguous(), all_nodes = tensor(nodes).contiguous(), all_scores = tensor(scores).contiguous();
    const auto items = tensor(table).contiguous(), children = tensor(child_items).contiguous();
    const int64_t rows = all_nodes.size(0), beams = all_nodes.size(1), fan_out = children.size(1), width = items.size(1);
    const at::Tensor further = proposals == nullptr ? at::Tensor() : tensor(proposals).contiguous();
    const int64_t proposed = further.defined() ? further.size(1) : 0;
    const float *embeddings = items.const_data_ptr<float>();
    const auto weight = static_cast<float>(path_weight);
    keep = std::min(keep, beams * fan_out);
    auto leaves = at::zeros({rows, keep}, at::TensorOptions().dtype(at::kLong));
    auto log_probs = at::full({rows, keep + proposed}, -std::numeric_limits<float>::infinity());

    std::vector<int64_t> below, order;
    std::vector<float> found;
    for (int64_t row = 0; row < rows; row++) {
      const float *q = queries.const_data_ptr<float>() + row * width;
      below.clear();
      found.clear();
      float worst = 0;
      for (int64_t beam = row * beams; beam < (row + 1) * beams; beam++) {
        const float path = all_scores.const_data_ptr<float>()[beam];
        if (std::isinf(path)) continue;
        worst = std::min(worst, path);
        const int64_t *child = children.const_data_ptr<int64_t>() + all_nodes.const_data_ptr<int64_t>()[beam] * fan_out;
        const int64_t *end = std::find(child, child + fan_out, 0);
        below.insert(below.end(), child, end);
        found.resize(below.size(), weight * path);
      }
      simd::add_products(q, embeddings, below.data(), below.size(), width, found.data());
      const float total = simd::log_sum_exp(found.data(), found.size());
      if (!std::isfinite(total)) throw std::domain_error("the item scores of a beam search are not finite");
      const auto count = std::min<int64_t>(keep, found.size());
      order.resize(count);
      simd::top_indices(found.data(), found.size(), count, order.data());
      auto *leaf = leaves.mutable_data_ptr<int64_t>() + row * keep;
      auto *log_prob = log_probs.mutable_data_ptr<float>() + row * (keep + proposed);
      for (int64_t i = 0; i < count; i++) {
        leaf[i] = below[order[i]] - 1;
        log_prob[i] = found[order[i]] - total;
      }
      if (proposed == 0) continue;
      const int64_t *proposal = further.const_data_ptr<int64_t>() + row * proposed;
      below.resize(proposed);
      std::transform(proposal, proposal + proposed, below.begin(), [](int64_t leaf) { return leaf + 1; });
      std::fill_n(log_prob + keep, proposed, weight * worst - total);
      simd::add_products(q, embeddings, below.data(), proposed, width, log_prob + keep);
    }
    out[0] = new at::Tensor(leaves);
    out[1] = new at::Tensor(log_probs);
  });
}
