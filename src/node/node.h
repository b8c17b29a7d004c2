// node/node.h - the validators of this process: started and stopped together or one by one, and watched.
//
// One whose loop ends by an error is started again from its log, after a back-off that doubles from one error to the
// next and begins anew once it has run for a minute. The others go on meanwhile.
//
// Errors   one a validator, each with what, why and what to do. One that cannot even start for the first time is
//          kFailed and left alone.
// Threads  all of it on the thread of `loop`, also the hooks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_function.h"
#include "node/validator.h"

namespace qh::node {

enum class ValidatorState : std::uint8_t { kStarting, kRunning, kRestarting, kFailed, kStopping, kStopped };
std::string_view state_name(ValidatorState state);

struct ValidatorReport {
  std::string name;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;  ///< 0: none
  std::filesystem::path directory;
  ValidatorState state = ValidatorState::kStopped;
  std::optional<Started> started;   ///< of its newest start
  std::optional<Error> error;       ///< why it did not start, or was started again
  std::optional<Error> stop_error;  ///< why it did not stop well
  std::uint64_t restarts = 0;       ///< after an error
  std::optional<queue::Metrics> figures;
  MonoTime figures_at;  ///< when they came; a validator that runs sends them each second
};

struct NodeOptions {
  std::vector<ValidatorOptions> validators;
  /// What a validator that is added while the node runs is made of; checks the name. Port 0: choose one.
  std::function<Result<ValidatorOptions>(const std::string& name, std::uint16_t port)> make;
  std::size_t validators_max = 100;
};

class Node {
 public:
  Node(boost::asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed);
  /// Waits for every thread; request_stop() came before if anything was started.
  ~Node();

  /// Takes every port; what could not be taken.
  std::vector<Error> bind();
  /// Locks the data of every validator, in the order of their names: of nodes that start at the same moment on the same
  /// data exactly one has them all. What could not be had.
  std::vector<Error> take_data();
  void start();
  void request_stop();

  Result<void> add(const std::string& name, std::uint16_t port);
  Result<void> start(const std::string& name);
  Result<void> stop(const std::string& name);

  /// In the order of the validators.
  std::vector<ValidatorReport> report() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::node
