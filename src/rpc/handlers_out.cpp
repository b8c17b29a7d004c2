// Handing out.
#include <algorithm>
#include <utility>

#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

using queue::Engine;
using queue::LeaseId;

Engine::HandOut hand_out(const Call& call) {
  const auto wait = call.arguments.milliseconds("wait_ms");
  return {call.arguments.kinds(), wait ? call.services.clock.mono() + *wait : MonoTime{}};
}

std::vector<LeaseId> leases_of(const Call& call) {
  std::vector<LeaseId> leases;
  for (const auto id : call.arguments.ids("leases")) leases.emplace_back(id);
  return leases;
}

/// What `max` of the messages that are ready now may come to as JSON; bodies are hex.
std::uint64_t hand_out_bytes(const Call& call, std::uint64_t max, std::uint64_t bodies_max) {
  constexpr std::uint64_t kAroundABody = 1024;
  const auto& engine = call.engine();
  const auto kinds = call.arguments.kinds().without(engine.paused());
  // With fairness it is not told from which kind the next one comes, so each may give all.
  std::uint64_t bodies = 0, count = 0;
  const auto add = [&](queue::KindMask mask) {
    for (const auto& message : peek_within(engine, max, bodies_max, mask)) {
      bodies += message.body.size();
      ++count;
    }
  };
  if (engine.options().fairness == 0) {
    add(kinds);
  } else {
    for (const auto& kind : queue::kinds()) {
      if (kinds.has(kind.kind)) add(queue::KindMask::of(kind.kind));
    }
  }
  // A wait may end with anything.
  if (count == 0 && call.arguments.integer_or("wait_ms", 0) != 0) return 2 * bodies_max + max * kAroundABody;
  return 2 * std::min(bodies, bodies_max) + std::min(count, max) * kAroundABody;
}

std::uint64_t many_bytes(const Call& call) {
  // The queue ends a hand-out behind the message that passes the bound.
  const auto bodies_max = answer_body_bytes(call) + call.engine().options().max_message_bytes;
  return hand_out_bytes(call, call.arguments.integer_or("max", 1), bodies_max);
}

}  // namespace

std::uint64_t pop_message_bytes(const Call& call) {
  return hand_out_bytes(call, 1, call.engine().options().max_message_bytes);
}

std::uint64_t lease_bytes(const Call& call) { return many_bytes(call); }
std::uint64_t pop_batch_bytes(const Call& call) { return many_bytes(call); }

void pop_message(Call& call) {
  const auto cancellable = call.answer.another();
  const auto wait = call.engine().take(
      hand_out(call), answer_by<std::optional<queue::Taken>>(call, [](std::optional<queue::Taken> taken) {
        return taken ? std::optional(std::move(*taken).consume()) : std::nullopt;
      }));
  cancellable.waits(wait);
}

void pop_batch(Call& call) {
  const auto max = static_cast<std::uint32_t>(call.arguments.integer_or("max", 1));
  const auto cancellable = call.answer.another();
  const auto wait = call.engine().take_batch(
      hand_out(call), max, answer_by<std::vector<queue::Taken>>(call, [](std::vector<queue::Taken> taken) {
        std::vector<queue::QueuedMessage> messages;
        messages.reserve(taken.size());
        for (auto& one : taken) messages.push_back(std::move(one).consume());
        return messages;
      }));
  cancellable.waits(wait);
}

void lease(Call& call) {
  const auto max = static_cast<std::uint32_t>(call.arguments.integer_or("max", 1));
  const auto& options = call.engine().options();
  const auto duration = call.arguments.milliseconds("duration_ms").value_or(options.lease_default);
  const auto cancellable = call.answer.another();
  const auto wait = call.engine().lease(hand_out(call), max, duration, answer_by<std::vector<queue::Leased>>(call));
  cancellable.waits(wait);
}

void ack(Call& call) { call.engine().ack(leases_of(call), answer_by<queue::LeaseOutcome>(call)); }

void nack(Call& call) {
  call.engine().nack(leases_of(call), call.arguments.milliseconds("delay_ms"),
                     std::string(call.arguments.text("error")), answer_by<queue::LeaseOutcome>(call));
}

void extend(Call& call) {
  const auto outcome = call.engine().extend(leases_of(call), *call.arguments.milliseconds("duration_ms"));
  if (!outcome) return call.answer.fail(outcome.error());
  call.answer.ok(*outcome);
}

}  // namespace qh::rpc
