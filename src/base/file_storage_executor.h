// base/file_storage_executor.h - the threads of FileStorage.
//
// Two lanes: hot for durable writes, background for everything else, so that filling a segment with
// zeros never stands in front of a record. An operation that answers kAgain goes to the end of its
// lane, so that big work does not hold up small work either.
//
// Bounds   the owner bounds what is in flight; at most that much is held here.
// Threads  submit(), take_completed(), wait() and the destructor belong to the owner. Operations run
//          on the lanes' threads, and those that answer are given back and destroyed by the owner.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_function.h"

namespace qh {

class DiskOperation {
 public:
  enum class Step : std::uint8_t { kAnswered, kAgain, kNoAnswer };

  virtual ~DiskOperation() = default;
  /// On a lane's thread, or inline on the owner's.
  virtual Step run() = 0;
  /// In place of what run() would have given, which has thrown.
  virtual Step fail(Error error) = 0;
  /// On the owner's thread, once, after kAnswered.
  virtual void deliver() {}
};

class DiskExecutor {
 public:
  enum class Lane : std::uint8_t { kHot, kBackground };

  /// `wake` is called by a lane's thread, with no lock held, when the first completion waits.
  static Result<std::unique_ptr<DiskExecutor>> start(unsigned hot_threads, UniqueFunction<void()> wake);
  /// Waits for the running system calls; what has not started is dropped.
  ~DiskExecutor();

  void submit(Lane lane, std::unique_ptr<DiskOperation> operation);
  std::deque<std::unique_ptr<DiskOperation>> take_completed();
  /// Until a completion waits (true) or the deadline passes (false).
  bool wait(MonoTime deadline);

 private:
  struct Queue {
    std::condition_variable ready;
    std::deque<std::unique_ptr<DiskOperation>> operations;
  };

  explicit DiskExecutor(UniqueFunction<void()> wake) : wake_(std::move(wake)) {}
  void run_lane(Queue& queue);
  void complete(std::unique_ptr<DiskOperation> operation);

  UniqueFunction<void()> wake_;
  std::mutex mutex_;  ///< over all below but `threads_`
  Queue hot_;
  Queue background_;
  std::condition_variable completed_ready_;
  std::deque<std::unique_ptr<DiskOperation>> completed_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace qh
