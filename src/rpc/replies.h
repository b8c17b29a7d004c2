// rpc/replies.h - the way back of a call, whatever codec it came by. Private to rpc/.
//
// Threads  the dispatcher's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/value.hpp>

#include "queue/engine.h"
#include "rpc/failure.h"

namespace qh::rpc {

/// What a method gives. Those that are typed have bodies of their own in the binary codec (rpc/binary_body.h).
using Outcome = std::variant<boost::json::value, queue::Submitted, std::vector<queue::MessageId>,
                             std::optional<queue::QueuedMessage>, std::vector<queue::QueuedMessage>,
                             std::vector<queue::Leased>, queue::LeaseOutcome>;

boost::json::value to_json(Outcome outcome);

/// The calls of one body, or of one connection, each in a slot of its own. A slot is answered once; all that comes for
/// it afterwards (a completion behind its timeout) is dropped.
class Replies {
 public:
  using Slot = std::uint64_t;

  virtual ~Replies() = default;
  virtual void ok(Slot slot, Outcome outcome) = 0;
  virtual void fail(Slot slot, const Failure& failure) = 0;
  virtual void waits(Slot slot, queue::Engine::WaitId wait) = 0;
  virtual void at_the_latest(Slot slot, Duration delay, Failure failure) = 0;
};

/// The right to answer one call, once.
class Answer {
 public:
  Answer() = default;
  Answer(std::shared_ptr<Replies> replies, Replies::Slot slot) : replies_(std::move(replies)), slot_(slot) {}

  void ok(Outcome outcome) const { replies_->ok(slot_, std::move(outcome)); }
  void fail(const Failure& failure) const { replies_->fail(slot_, failure); }
  void fail(const Error& error) const { fail(failure_of(error)); }

  /// While this wait lasts, abandoning the call cancels it. For a call that may be answered already.
  void waits(queue::Engine::WaitId wait) const { replies_->waits(slot_, wait); }
  /// Answers `failure` unless something else has by then.
  void at_the_latest(Duration delay, Failure failure) const {
    replies_->at_the_latest(slot_, delay, std::move(failure));
  }
  /// A second one for the same call; the first that is used counts.
  Answer another() const { return *this; }

 private:
  std::shared_ptr<Replies> replies_;
  Replies::Slot slot_ = 0;
};

}  // namespace qh::rpc
