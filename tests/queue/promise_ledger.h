// tests/queue/promise_ledger.h - what a queue has promised about each message, and whether it kept it.
//
// A message is known by the tag in its body. What was asked for and not answered may have happened or not; the next
// look() at what is there settles it, and from then on it must stay so.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/engine.h"

namespace qh::queue {

/// The message with this tag, of a kind that `choice` picks.
Message tagged(std::uint64_t tag, std::uint64_t choice, Bytes data);
std::uint64_t tag_of(const QueuedMessage& queued);

/// What a start finds.
struct Present {
  std::uint64_t tag = 0;
  MessageId id;
  std::optional<DeadReason> dead = {};
  std::string last_error = {};
};

class PromiseLedger {
 public:
  /// What had been asked for when a call was made.
  struct Moment {
    std::uint64_t retries = 0, retries_open = 0, leases_answered = 0;
  };

  /// QH_WATCH_TAG=n says on stderr what happens to one message. `now`: words for the moment.
  PromiseLedger(std::uint32_t max_deliveries, UniqueFunction<std::string()> now)
      : max_deliveries_(max_deliveries), now_(std::move(now)) {}

  // Asked for.
  void submit(std::uint64_t tag) { promises_[tag]; }
  void submit_group(std::vector<std::uint64_t> tags);
  void may_go(std::uint64_t tag, std::string_view why);
  /// Until take_answered(), one message more may be gone: whichever was first when the take's turn came.
  void take() { ++open_takes_; }
  void lease() { ++leases_asked_; }
  /// One dead letter, or without a tag all of them, back into the queue.
  void retry(std::optional<std::uint64_t> tag);
  Moment moment() const { return {retries_asked_, retries_open_, leases_answered_}; }

  // Answered.
  void submitted(std::uint64_t tag, MessageId id, Durability durability);
  void leased(std::uint64_t tag, MessageId id);
  void taken(const QueuedMessage& message);
  void take_answered() { --open_takes_; }
  void lease_answered() { ++leases_answered_; }
  void retry_answered() { --retries_open_; }
  /// By its last delivery, given back at that moment: dead of that error, or of whatever where that is empty, until
  /// somebody asks for a retry.
  void died(std::uint64_t tag, const Moment& asked, std::string error);
  /// A retry that was asked for at that moment: alive until it has been leased too often again.
  void revived(std::uint64_t tag, const Moment& asked);
  void gone(std::uint64_t tag, std::string_view why);

  /// A crash: what was only in memory may be gone.
  void lose_memory();
  /// After a start: all that is there, in any order.
  void look(const std::vector<Present>& present);
  /// After all was handed out.
  void all_gone();

  void fail(std::string why);
  /// Empty: every promise was kept.
  const std::string& failure() const { return failure_; }

 private:
  struct Promise {
    bool acknowledged = false;             ///< a durable submit answered
    bool may_be_gone = false;              ///< an end was asked for and not answered
    bool gone = false;                     ///< one was answered
    bool in_memory = false;                ///< an async submit: a crash may lose it
    std::optional<std::string> died_of;    ///< dead, and nobody has asked for a retry; empty: of whatever
    std::optional<std::uint64_t> revived;  ///< leases answered when the retry was asked for
    std::optional<MessageId> id;
  };

  void note_id(std::uint64_t tag, MessageId id);
  void watch(std::uint64_t tag, std::string_view what);
  void check_groups();
  void check_death(const Present& there, Promise& promise);

  std::uint32_t max_deliveries_;
  UniqueFunction<std::string()> now_;
  std::string failure_;
  std::map<std::uint64_t, Promise> promises_;
  std::map<MessageId, std::uint64_t> ids_;
  std::vector<std::vector<std::uint64_t>> groups_;  ///< batch submits of this life: all or nothing
  std::int64_t open_takes_ = 0;
  std::uint64_t retries_asked_ = 0, retries_open_ = 0, leases_asked_ = 0, leases_answered_ = 0;
};

}  // namespace qh::queue
