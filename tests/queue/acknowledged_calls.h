// tests/queue/acknowledged_calls.h - random calls on a queue whose machine ends at any moment, and what it promised.
//
// The torture (torture.h) follows submits, takes and the deaths of messages; here it is what is asked of one message:
// ack, hold, nack, remove, retry and purge of a dead letter, and what is paused.
// Threads  one owner.
#pragma once

#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "queue_machine.h"

namespace qh::queue {

class AcknowledgedCalls {
 public:
  /// With faults, writes and syncs fail now and then, and the disk fills up.
  AcknowledgedCalls(std::uint64_t seed, bool faults);
  void run(int lives);

 private:
  enum class Is { kThere, kGone, kRevived, kDelayed, kHeld };
  struct Promise {
    Is is{};
    std::int64_t ready_ms = 0;
    std::uint32_t deliveries = 0;
  };
  struct HeldLease {
    LeaseId lease;
    std::uint64_t id = 0;
    bool persisted = false;
  };

  void plan_faults();
  void end_life();
  void expect_promises();
  static void expect_promise(const Promise& promise, const Found& found, WallTime now);

  /// Nothing that was promised of it before holds from here on.
  void touch(std::uint64_t id);
  /// What an answer promises, as long as nothing else was asked of the message since.
  template <class T>
  auto promise(std::uint64_t id, Promise promise);

  void one();
  void submit();
  void batch();
  void lease();
  void answer_lease();
  void tidy_dead();
  void remove();
  void pause_or_resume();
  void steps();
  Submission fresh(Durability durability);
  std::uint64_t any_in(MessageState state);

  SeededRng rng_;
  bool faults_;
  QueueMachine m_;
  std::vector<HeldLease> leases_;
  std::map<std::uint64_t, Promise> promises_;
  std::map<std::uint64_t, int> asked_;
  std::optional<KindMask> paused_;  ///< empty: the newest call was not answered
  int pauses_ = 0;
};

}  // namespace qh::queue
