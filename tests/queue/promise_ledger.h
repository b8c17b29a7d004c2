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

class PromiseLedger {
 public:
  /// QH_WATCH_TAG=n says on stderr what happens to one message. `now`: words for the moment.
  explicit PromiseLedger(UniqueFunction<std::string()> now) : now_(std::move(now)) {}

  // Asked for.
  void submit(std::uint64_t tag) { promises_[tag]; }
  void submit_group(std::vector<std::uint64_t> tags);
  void may_go(std::uint64_t tag, std::string_view why);
  /// Until take_answered(), one message more may be gone: whichever was first when the take's turn came.
  void take() { ++open_takes_; }

  // Answered.
  void submitted(std::uint64_t tag, MessageId id, Durability durability);
  void leased(std::uint64_t tag, MessageId id);
  void taken(const QueuedMessage& message);
  void take_answered() { --open_takes_; }
  void gone(std::uint64_t tag, std::string_view why);

  /// A crash: what was only in memory may be gone.
  void lose_memory();
  /// After a start: tag and id of all that is there, in any order.
  void look(const std::vector<std::pair<std::uint64_t, MessageId>>& present);
  /// After all was handed out.
  void all_gone();

  void fail(std::string why);
  /// Empty: every promise was kept.
  const std::string& failure() const { return failure_; }

 private:
  struct Promise {
    bool acknowledged = false;  ///< a durable submit answered
    bool may_be_gone = false;   ///< an end was asked for and not answered
    bool gone = false;          ///< one was answered
    bool in_memory = false;     ///< an async submit: a crash may lose it
    std::optional<MessageId> id;
  };

  void note_id(std::uint64_t tag, MessageId id);
  void watch(std::uint64_t tag, std::string_view what);
  void check_groups();

  UniqueFunction<std::string()> now_;
  std::string failure_;
  std::map<std::uint64_t, Promise> promises_;
  std::map<MessageId, std::uint64_t> ids_;
  std::vector<std::vector<std::uint64_t>> groups_;  ///< batch submits of this life: all or nothing
  std::int64_t open_takes_ = 0;
};

}  // namespace qh::queue
