// node/node.h - the validators of this process, started and stopped together.
//
// Errors   one a validator, each with what, why and what to do; a node with one that could not start is stopped.
// Threads  owned by one; `changed` is called on the validators' threads whenever a report() has changed.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_function.h"
#include "node/validator.h"

namespace qh::node {

enum class ValidatorState : std::uint8_t { kStarting, kRunning, kFailed, kStopping, kStopped };

struct ValidatorReport {
  ValidatorState state = ValidatorState::kStarting;
  std::optional<Started> started;
  std::optional<Error> error;  ///< why it did not start, or did not stop well
};

class Node {
 public:
  Node(std::vector<ValidatorOptions> validators, const FrontFactory& front, UniqueFunction<void()> changed);
  /// Waits for every thread; request_stop() came before if anything was started.
  ~Node();

  /// Takes every port; what could not be taken.
  std::vector<Error> bind();
  void start();
  /// From any thread.
  void request_stop();

  /// In the order of the validators.
  std::vector<ValidatorReport> report() const;
  const std::vector<std::unique_ptr<Validator>>& validators() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::node
