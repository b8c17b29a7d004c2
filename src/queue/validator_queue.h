// queue/validator_queue.h - a queue with a thread of its own, for callers on any thread.
//
//   auto queue = ValidatorQueue::open("/var/lib/x/queue", {.name = "alice"}).value();
//   const auto id = queue->submit_sync(Gossip{"topic", {}}).value().id;
//   if (auto taken = queue->take().value()) use(std::move(*taken).consume());
//
// Durability  as queue/engine.h: submit_sync returns after the record is on disk, take after the record of
//             the hand-out is, ack and nack after theirs.
// Errors      kBusy: another process has the directory, named. kTimeout: the deadline passed; what was asked
//             for may have happened: repeat a submit with the same idempotency key.
// Threads     every call from any thread; each blocks its caller until `deadline`. One thread owns the
//             engine and does the writing; work from many callers shares its syncs.
// Lifetime    calls must have returned before it is destroyed. The destructor stops gracefully.
#pragma once

#include <filesystem>
#include <memory>

#include "base/storage_probe.h"
#include "base/unique_function.h"
#include "queue/engine.h"

namespace qh::queue {

class SyncResult;
class AsyncResult;

class ValidatorQueue {
 public:
  struct Files {
    WriteMethod write_method = WriteMethod::kAuto;     ///< measured at open, or forced
    UniqueFunction<void(std::string_view)> warn = {};  ///< called on the queue's thread
  };
  static constexpr Duration kDeadline = std::chrono::seconds(30);

  /// Makes the directory if it is not there, locks it, recovers.
  static Result<std::unique_ptr<ValidatorQueue>> open(std::filesystem::path directory, Options options, Files files);
  static Result<std::unique_ptr<ValidatorQueue>> open(std::filesystem::path directory, Options options = {});
  ~ValidatorQueue();

  Result<Submitted> submit_sync(const Message& message, SubmitOptions options = {}, Duration deadline = kDeadline);
  Result<Submitted> submit_async(const Message& message, SubmitOptions options = {}, Duration deadline = kDeadline);
  Result<std::vector<Submitted>> submit_batch(const std::vector<std::pair<Message, SubmitOptions>>& messages,
                                              Duration deadline = kDeadline);
  /// Waits up to `wait` for a message; empty when none came.
  Result<std::optional<Taken>> take(KindMask kinds = KindMask::all(), Duration wait = Duration(0));
  Result<std::vector<Leased>> lease(std::uint32_t max, Duration duration, KindMask kinds = KindMask::all(),
                                    Duration wait = Duration(0));
  Result<LeaseOutcome> ack(std::vector<LeaseId> leases, Duration deadline = kDeadline);
  Result<LeaseOutcome> nack(std::vector<LeaseId> leases, std::optional<Duration> delay = {}, std::string error = {},
                            Duration deadline = kDeadline);
  Result<LeaseOutcome> extend(std::vector<LeaseId> leases, Duration duration, Duration deadline = kDeadline);
  Result<LeaseOutcome> hold(std::vector<LeaseId> leases, Duration deadline = kDeadline);
  Result<Depth> depth();
  Result<Metrics> metrics();
  Result<void> compact_wal(Duration deadline = kDeadline);
  /// Keeps what is in memory, too. Afterwards every call answers kShuttingDown.
  Result<void> stop();

  /// Runs `work` on the owner's thread, where the engine may be used and coroutines be started
  /// (queue/await.h). Does not wait for it.
  void post(UniqueFunction<void(Engine&)> work);

  const RecoveryReport& recovery() const;
  const std::filesystem::path& directory() const;

 private:
  friend struct QppSyncSubmit;
  template <class State>
  friend class TypeStateMessage;
  Result<Leased> submit_held(const Message& message, SubmitOptions options, Duration deadline);

  class Owner;
  explicit ValidatorQueue(std::unique_ptr<Owner> owner);
  std::unique_ptr<Owner> owner_;
};

/// The id of a message that is on disk. Only QppSyncSubmit makes one.
class SyncResult {
 public:
  bool has_value() const { return result_.has_value(); }
  explicit operator bool() const { return has_value(); }
  MessageId id() const { return result_.value().id; }
  const Error& error() const { return result_.error(); }

 private:
  friend struct QppSyncSubmit;
  explicit SyncResult(Result<Submitted> result) : result_(std::move(result)) {}
  Result<Submitted> result_;
};

/// The id of a message that is in memory. Only QppAsyncSubmit makes one; it is no SyncResult.
class AsyncResult {
 public:
  bool has_value() const { return result_.has_value(); }
  explicit operator bool() const { return has_value(); }
  MessageId id() const { return result_.value().id; }
  const Error& error() const { return result_.error(); }

 private:
  friend struct QppAsyncSubmit;
  explicit AsyncResult(Result<Submitted> result) : result_(std::move(result)) {}
  Result<Submitted> result_;
};

/// Durable before it returns.
struct QppSyncSubmit {
  static SyncResult execute(ValidatorQueue& queue, const Message& message, SubmitOptions options = {});
};
/// In memory only; lost in a crash by contract.
struct QppAsyncSubmit {
  static AsyncResult execute(ValidatorQueue& queue, const Message& message, SubmitOptions options = {});
};

}  // namespace qh::queue
