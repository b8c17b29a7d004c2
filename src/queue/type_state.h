// queue/type_state.h - the life of a durable message as types: Queued -> Persisted -> Consumed.
//
//   auto persisted = TypeStateMessage<Queued>(message, "alice").persist(queue);   // on disk, and ours
//   auto consumed = std::move(*persisted).consume();                              // over, on disk too
//   use(std::move(*consumed).into_inner());
//
// persist() is the only way from Queued to Persisted, consume() from Persisted to Consumed, into_inner() out
// of Consumed: what is not allowed does not compile (tests/queue/compile_fail). While a message is Persisted
// it belongs to this object: nobody else is handed it. If the object is destroyed, or the process ends, before
// consume(), the message is back in the queue.
//
// Durability  persist() and consume() return after their record is on disk.
// Errors      both answer an Error instead of the next state; the message is in the queue then if it was
//             persisted, and nowhere if it was not.
// Threads     as ValidatorQueue. The queue must outlive Persisted objects.
#pragma once

#include "queue/no_clone.h"
#include "queue/validator_queue.h"

namespace qh::queue {

struct Queued;
struct Persisted;
struct Consumed;

template <class State>
class TypeStateMessage;

template <>
class QH_CONSUMABLE(unconsumed) TypeStateMessage<Consumed> {
 public:
  TypeStateMessage(TypeStateMessage&&) noexcept = default;
  TypeStateMessage(const TypeStateMessage&) = delete;

  QH_CALLABLE_WHEN("unconsumed") QH_SET_TYPESTATE(consumed) QueuedMessage into_inner() && {
    return std::move(message_).consume();
  }

 private:
  friend class TypeStateMessage<Persisted>;
  QH_RETURN_TYPESTATE(unconsumed)
  explicit TypeStateMessage(QueuedMessage message) : message_(std::move(message)) {}
  NoClone<QueuedMessage> message_;
};

template <>
class QH_CONSUMABLE(unconsumed) TypeStateMessage<Persisted> {
 public:
  QH_RETURN_TYPESTATE(unconsumed)
  TypeStateMessage(TypeStateMessage&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)), held_(std::move(other.held_)) {}
  TypeStateMessage(const TypeStateMessage&) = delete;
  ~TypeStateMessage() {
    // Nobody consumed it: it goes back. Should that fail, the next start gives it back.
    if (queue_ != nullptr) static_cast<void>(queue_->nack({held_.lease}, Duration(0), "let go before it was consumed"));
  }

  QH_CALLABLE_WHEN("unconsumed")
  const QueuedMessage& message() const {
    if (queue_ == nullptr) consumed_twice("a persisted message");
    return held_.message;
  }

  QH_CALLABLE_WHEN("unconsumed") QH_SET_TYPESTATE(consumed) Result<TypeStateMessage<Consumed>> consume() && {
    if (queue_ == nullptr) consumed_twice("a persisted message");
    auto* queue = std::exchange(queue_, nullptr);
    auto ended = queue->ack({held_.lease});
    if (!ended) return fail(std::move(ended.error()));
    if (ended->done != 1) return fail(Errc::kLeaseLost, "the message was given back before it was consumed");
    return TypeStateMessage<Consumed>(std::move(held_.message));
  }

 private:
  friend class TypeStateMessage<Queued>;
  QH_RETURN_TYPESTATE(unconsumed)
  TypeStateMessage(ValidatorQueue& queue, Leased held) : queue_(&queue), held_(std::move(held)) {}
  ValidatorQueue* queue_;
  Leased held_;
};

template <>
class QH_CONSUMABLE(unconsumed) TypeStateMessage<Queued> {
 public:
  QH_RETURN_TYPESTATE(unconsumed)
  explicit TypeStateMessage(Message message, std::string submitted_by = {}) : message_(std::move(message)) {
    options_.submitted_by = std::move(submitted_by);
  }
  QH_RETURN_TYPESTATE(unconsumed)
  TypeStateMessage(TypeStateMessage&&) noexcept = default;
  TypeStateMessage(const TypeStateMessage&) = delete;

  /// `log` is an open queue: the record is durable in it when this returns.
  QH_CALLABLE_WHEN("unconsumed")
  QH_SET_TYPESTATE(consumed) Result<TypeStateMessage<Persisted>> persist(ValidatorQueue& log) && {
    auto held = log.submit_held(message_, options_, ValidatorQueue::kDeadline);
    if (!held) return fail(std::move(held.error()));
    return TypeStateMessage<Persisted>(log, std::move(*held));
  }

 private:
  Message message_;
  SubmitOptions options_;
};

}  // namespace qh::queue
