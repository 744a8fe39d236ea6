#pragma once

// What libtorch's ProcessGroupGloo.hpp says of Gloo, whose own headers its wheels leave
// out. Nothing of it is made, read or freed here: all of that is libtorch's.
#include <chrono>
#include <string>
#include <vector>

namespace gloo {

struct Context {
  void setTimeout(std::chrono::milliseconds);
};

namespace transport {
class Device;
struct UnboundBuffer {
  virtual ~UnboundBuffer();
};
} // namespace transport

namespace rendezvous {
struct Store {
  virtual ~Store();
  virtual void set(const std::string &, const std::vector<char> &) = 0;
  virtual std::vector<char> get(const std::string &) = 0;
  virtual void wait(const std::vector<std::string> &) = 0;
  virtual void wait(const std::vector<std::string> &, const std::chrono::milliseconds &) = 0;
};
} // namespace rendezvous

} // namespace gloo
