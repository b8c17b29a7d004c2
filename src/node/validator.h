// node/validator.h - one validator: its thread, its loop, its store, its queue, its port.
//
// Nothing here is shared with another validator, so one that stalls, floods or dies takes nobody with it.
//
// Order     make(), bind(), take_data() or not, start(); `started` comes once the queue is recovered and the port open,
//           or with the reason why not; `stopped` comes last, after request_stop() or when the loop has ended by an
//           error, and once all that it held is given up. Until then the destructor would wait: a disk that hangs holds
//           a thread.
// Errors    what the system has no descriptor or thread for is kIo, with the remedy. kNotFound: the data are gone, at a
//           start with `queue_id` or while it runs, which is seen within a second and ends it without another answer.
// Durability  request_stop() refuses new work, lets answers under way go out, writes in-memory messages to the log.
// Threads   owned by the thread that constructs it. The hooks are called on the validator's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/storage_probe.h"
#include "base/unique_function.h"
#include "node/front.h"
#include "queue/log_format.h"
#include "queue/metrics.h"
#include "queue/options.h"
#include "queue/recovery_report.h"
#include "rpc/node_control.h"

namespace qh::node {

struct ValidatorOptions {
  std::string name;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;    ///< of the binary RPC; 0: none
  std::filesystem::path directory;  ///< its own; the queue lives in queue/ below it
  WriteMethod write_method = WriteMethod::kAuto;
  queue::Options queue;
  bool allow_faults = false;  ///< node_injectFault is there
  /// It has run before, on this queue: that one is there, or its start fails (kNotFound) and makes nothing.
  std::optional<queue::wal::QueueId> queue_id = {};
};

struct Started {
  queue::RecoveryReport recovery;
  std::string write_method;  ///< how durable writes are done, and what was measured
};

struct ValidatorHooks {
  UniqueFunction<void(Result<Started>)> started;
  UniqueFunction<void(Result<void>)> stopped;
  /// Once a second while its loop turns, with figures while it runs; the first of these as soon as it does.
  UniqueFunction<void(std::optional<queue::Metrics>)> pulse;
  /// What a caller asks of the node. The answer comes by answer(), with the same ticket.
  UniqueFunction<void(rpc::NodeRequest request, std::uint64_t ticket)> ask;
};

class Validator {
 public:
  static Result<std::unique_ptr<Validator>> make(ValidatorOptions options, const FrontFactory& front);
  /// Joins the thread; `stopped` came before.
  ~Validator();
  Validator(const Validator&) = delete;
  Validator& operator=(const Validator&) = delete;

  const ValidatorOptions& options() const;

  /// Takes the port.
  Result<void> bind();
  /// Makes its directory and locks it: kBusy names who has it. Else start() does it, on the validator's thread.
  Result<void> take_data();
  Result<void> start(ValidatorHooks hooks);
  /// From any thread; a second call does nothing.
  void request_stop();
  /// From any thread.
  void answer(std::uint64_t ticket, rpc::NodeAnswer answer);
  /// Whether its thread waits for its disk now, and turns no loop until that has answered. From any thread.
  bool waits_for_disk() const;

 private:
  class Impl;
  explicit Validator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::node
