// tests/queue/torture_work.h - the random work of the torture, and what its answers promise.
//
//   torture_work.cpp     which comes next; what goes out, and what operators do
//   torture_submits.cpp  what comes in
//   torture_deaths.cpp   dead letters
//
// Threads  one owner.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "promise_ledger.h"
#include "queue_machine.h"
#include "torture.h"

namespace qh::queue {

class TortureWork {
 public:
  /// One in so many deaths ends the life.
  TortureWork(QueueMachine& machine, SeededRng& rng, PromiseLedger& ledger, TortureResult& result,
              std::uint64_t cut_one_in)
      : machine_(machine), rng_(rng), ledger_(ledger), result_(result), cut_one_in_(cut_one_in) {}

  /// Some messages have up to so many bytes from now on.
  void make_large(std::uint64_t bytes) { large_ = bytes; }
  void one_operation();
  /// The life should end now: what was just asked for is under way.
  bool cut_now() const { return cut_now_; }
  /// Cut inside it: a batch of several blocks has been handed to the disk, and nothing is known of it.
  void begin_a_write();
  void forget_life();
  void handed_out(const QueuedMessage& message);
  /// Each message is in one place: dead or queued.
  void check_places();

 private:
  struct Held {
    LeaseId lease;
    std::uint64_t tag = 0;
    MessageId id;
    std::uint32_t deliveries = 0;
  };

  // torture_submits.cpp
  Message message_of(std::uint64_t tag);
  void submit(Durability durability);
  void ask_to_submit(Durability durability);
  void submit_batch();
  static std::string key_of(std::uint64_t tag);
  std::string remembered_key(std::uint64_t tag);
  std::optional<Submission> again(std::uint64_t tag, MonoTime since);
  void repeat();
  void ask_again(std::vector<std::uint64_t> tags, std::vector<Submission> batch);

  void maybe_wait();
  void take();
  void take_batch();
  void ask_to_lease(std::uint32_t max, Duration duration);
  void lease();
  std::optional<Held> any_lease();
  void ack();
  void ask_to_nack(const Held& held, std::optional<Duration> delay);
  bool lost_its_text(MessageId id);
  void nack();
  void hold();
  void tidy();

  // torture_deaths.cpp
  void death();
  std::optional<Held> lease_to_the_last();
  bool lapse(const Held& held);
  void retry_all();
  void retry_one(std::uint64_t tag, MessageId id);
  void purge_one(std::uint64_t tag, MessageId id);
  void repeat_key_of(std::uint64_t tag);

  QueueMachine& machine_;
  SeededRng& rng_;
  PromiseLedger& ledger_;
  TortureResult& result_;
  std::uint64_t cut_one_in_;
  std::uint64_t large_ = 0;
  bool cut_now_ = false;
  std::set<LeaseId> lease_ids_;
  std::vector<Held> leases_;
  std::vector<std::pair<std::uint64_t, MonoTime>> keyed_;  ///< of this life
  std::uint64_t next_tag_ = 1;
};

}  // namespace qh::queue
