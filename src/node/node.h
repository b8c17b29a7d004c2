// node/node.h - the validators of this process: started and stopped together or one by one, and watched.
//
// One whose loop ends by an error is started again from its log, after a back-off that doubles from one error to the
// next and begins anew once it has run for a minute. The others go on meanwhile.
//
// Errors   one a validator, each with what, why and what to do. One that cannot start for the first time, or finds its
//          log damaged or its data gone, is kFailed and left alone; data that are gone are its stop_error, too. One
//          that the system has no descriptor or thread for is an error of that start, or one more try later; nothing is
//          thrown.
// Bounds   no call waits for a validator. One that has not stopped 2 s behind its own bound is left behind: kFailed and
//          `hung`, its thread and its files are as they are until what hangs goes on. A node with such a one cannot be
//          destroyed: end the process.
// Threads  all of it on the thread of `loop`, also the hooks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_function.h"
#include "node/validator_report.h"

namespace qh::node {

struct NodeOptions {
  std::vector<ValidatorOptions> validators;
  /// What a validator that is added while the node runs is made of; checks the name. Port 0: choose one.
  std::function<Result<ValidatorOptions>(const std::string& name, std::uint16_t port)> make;
  std::size_t validators_max = 100;
};

class Node {
 public:
  Node(boost::asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed);
  /// Every validator has stopped before, if anything was started.
  ~Node();

  /// Takes every port; what could not be taken.
  std::vector<Error> bind();
  /// Locks the data of the validator whose name is the first: of nodes that start at the same moment on the same data
  /// one goes on. The others are locked by their own threads, since a disk that hangs would hold the caller.
  Result<void> take_first_data();
  /// What cannot be started is kFailed.
  void start();
  void request_stop();

  /// These answer what it is now. kShuttingDown once the node stops.
  Result<ValidatorReport> add(const std::string& name, std::uint16_t port);
  Result<ValidatorReport> start(const std::string& name);
  /// kBusy for the last one that runs: no port would be left to start one again. One that was added and has failed is
  /// forgotten.
  Result<ValidatorReport> stop(const std::string& name);

  /// In the order of the validators.
  std::vector<ValidatorReport> report() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::node
