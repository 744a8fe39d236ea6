#include "adamw.h"
#include "binding.h"

#include <ATen/Functions.h>
#include <algorithm>
#include <c10/core/GradMode.h>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {
constexpr double epsilon = 1e-8;
constexpr int64_t chunk_elements = 1 << 16;

// A range of rows of a weight, or all of it.
struct chunk {
  size_t weight;
  int64_t row, rows; // rows < 0: all
  at::Tensor values, mean, square;

  at::Tensor of(const at::Tensor &all) const { return rows < 0 ? all : all.narrow(0, row, rows); }
};

double squared(const at::Tensor &x) {
  const double norm = at::linalg_vector_norm(x).item<double>();
  return norm * norm;
}

template <typename Operation> int without_gradients(char **error, Operation operation) {
  return guarded(error, [&] {
    c10::AutoGradMode off(false);
    operation();
  });
}
} // namespace

// libtorch's fused AdamW: one pass over weights, gradients and moments instead of
// torch::optim::AdamW's ten.
struct genrec_adamw {
  double beta1, beta2, weight_decay;
  at::Tensor steps;
  std::vector<at::Tensor> weights, means, squares;
  std::vector<std::vector<at::Tensor>> replicas, gradients; // by replica, by weight
  std::vector<std::vector<chunk>> parts;

  // Whole weights for one part; otherwise chunks, assigned to balance the parts.
  void split(int count) {
    parts.resize(count);
    std::vector<int64_t> load(count);
    for (size_t i = 0; i < weights.size(); i++) {
      const auto &weight = weights[i];
      const bool whole = count == 1 || weight.dim() == 0 || weight.numel() <= chunk_elements;
      const int64_t total = whole ? 1 : weight.size(0);
      const int64_t stride = whole ? 1 : std::max<int64_t>(1, chunk_elements * total / weight.numel());
      for (int64_t row = 0; row < total; row += stride) {
        chunk c{i, row, whole ? -1 : std::min(stride, total - row), {}, {}, {}};
        c.values = c.of(weight);
        c.mean = c.of(means[i]);
        c.square = c.of(squares[i]);
        const auto lightest = std::min_element(load.begin(), load.end()) - load.begin();
        load[lightest] += c.values.numel();
        parts[lightest].push_back(std::move(c));
      }
    }
  }
};

genrec_adamw *genrec_adamw_new(void **weights, int count, void **replicas, int replica_count, int parts, double beta1,
                               double beta2, double weight_decay, char **error) {
  auto optimizer = std::make_unique<genrec_adamw>();
  const int made = without_gradients(error, [&] {
    optimizer->beta1 = beta1;
    optimizer->beta2 = beta2;
    optimizer->weight_decay = weight_decay;
    for (int i = 0; i < count; i++) {
      const auto weight = static_cast<at::Tensor *>(weights[i])->detach();
      optimizer->weights.push_back(weight);
      optimizer->means.push_back(at::zeros_like(weight));
      optimizer->squares.push_back(at::zeros_like(weight));
    }
    optimizer->steps = at::zeros({}, optimizer->weights[0].options());
    for (int r = 0; r < replica_count; r++) {
      std::vector<at::Tensor> replica;
      for (int i = 0; i < count; i++) replica.push_back(*static_cast<at::Tensor *>(replicas[r * count + i]));
      optimizer->replicas.push_back(std::move(replica));
    }
    optimizer->split(parts);
  });
  return made ? optimizer.release() : nullptr;
}

void genrec_adamw_free(genrec_adamw *optimizer) { delete optimizer; }

// Takes the gradients from the replicas. A replica without gradients had no share of a small batch.
int genrec_adamw_begin(genrec_adamw *optimizer, int distributed, char **error) {
  return without_gradients(error, [&] {
    optimizer->gradients.clear();
    for (auto &replica : optimizer->replicas) {
      if (!replica[0].grad().defined()) continue;
      std::vector<at::Tensor> gradients;
      for (auto &weight : replica) {
        if (!weight.grad().defined()) throw std::runtime_error("a weight has no gradient");
        gradients.push_back(weight.grad().contiguous());
        weight.mutable_grad().reset();
      }
      optimizer->gradients.push_back(std::move(gradients));
    }
    if (optimizer->gradients.empty()) {
      if (!distributed) throw std::runtime_error("no gradients");
      optimizer->gradients.emplace_back();
      for (const auto &weight : optimizer->weights) optimizer->gradients[0].push_back(at::zeros_like(weight));
    }
    optimizer->steps.add_(1);
  });
}

// Sums a part's gradients into those of the first replica, always in the same order.
int genrec_adamw_sum_gradients(genrec_adamw *optimizer, int part, double *squared_norm, char **error) {
  return without_gradients(error, [&] {
    *squared_norm = 0;
    for (const auto &c : optimizer->parts[part]) {
      auto sum = c.of(optimizer->gradients[0][c.weight]);
      for (size_t r = 1; r < optimizer->gradients.size(); r++) sum.add_(c.of(optimizer->gradients[r][c.weight]));
      *squared_norm += squared(sum);
    }
  });
}

int genrec_adamw_squared_norm(genrec_adamw *optimizer, int part, double *squared_norm, char **error) {
  return without_gradients(error, [&] {
    *squared_norm = 0;
    for (const auto &c : optimizer->parts[part]) *squared_norm += squared(c.of(optimizer->gradients[0][c.weight]));
  });
}

int genrec_adamw_apply(genrec_adamw *optimizer, int part, double rate, double scale, char **error) {
  return without_gradients(error, [&] {
    std::vector<at::Tensor> values, gradients, means, squares;
    for (const auto &c : optimizer->parts[part]) {
      values.push_back(c.values);
      gradients.push_back(c.of(optimizer->gradients[0][c.weight]));
      means.push_back(c.mean);
      squares.push_back(c.square);
    }
    const std::vector<at::Tensor> steps(values.size(), optimizer->steps);
    // The fused step divides gradients by this.
    const auto divisor = at::full({}, 1 / scale, optimizer->steps.options());
    at::_fused_adamw_(values, gradients, means, squares, {}, steps, rate, optimizer->beta1, optimizer->beta2,
                      optimizer->weight_decay, epsilon, false, false, divisor);
  });
}

void *genrec_adamw_moment(genrec_adamw *optimizer, int weight, int order) {
  return new at::Tensor(order == 1 ? optimizer->means[weight] : optimizer->squares[weight]);
}

void *genrec_adamw_gradient(genrec_adamw *optimizer, int weight) {
  return new at::Tensor(optimizer->gradients[0][weight]);
}

void genrec_adamw_set_steps(genrec_adamw *optimizer, double steps) {
  c10::AutoGradMode off(false);
  optimizer->steps.fill_(steps);
}
