// tests/queue/model_steps.h - the random calls of the model test, and how queue and model are compared.
//
// Threads  one owner.
#pragma once

#include <array>
#include <ostream>

#include <rapidcheck.h>

#include "queue_model.h"
#include "queue_snapshot.h"

namespace qh::queue {

enum class Call : std::uint8_t {
  kSubmit,
  kBatch,
  kTake,
  kLease,
  kAck,
  kNack,
  kExtend,
  kHold,
  kRemove,
  kPurge,
  kPause,
  kRetryDead,
  kRetryAll,
  kPurgeDead,
  kWait,
  kStop,
  kKill,
  kCompact,
  kOff,
  kDeath,
};

struct Step {
  Call call{};
  std::uint32_t a = 0, b = 0, c = 0;
};

inline void showValue(const Step& s, std::ostream& out) {
  static constexpr std::array kNames = {"submit", "batch",  "take",  "lease",   "ack",   "nack",      "extend",
                                        "hold",   "remove", "purge", "pause",   "retry", "retry all", "purge dead",
                                        "wait",   "stop",   "kill",  "compact", "off",   "death"};
  out << kNames[static_cast<std::size_t>(s.call)] << "(" << s.a << ", " << s.b << ", " << s.c << ")";
}

inline rc::Gen<Step> arbitrary_step() {
  using enum Call;
  const auto call = rc::gen::weightedElement<Call>(
      {{12, kSubmit}, {3, kBatch},  {8, kTake},  {8, kLease},   {5, kAck},       {8, kNack},     {2, kExtend},
       {2, kHold},    {2, kRemove}, {1, kPurge}, {2, kPause},   {1, kRetryDead}, {1, kRetryAll}, {1, kPurgeDead},
       {8, kWait},    {2, kStop},   {2, kKill},  {1, kCompact}, {2, kOff},       {4, kDeath}});
  const auto number = rc::gen::inRange<std::uint32_t>(0, 4096);
  return rc::gen::map(rc::gen::tuple(call, number, number, number), [](const auto& t) {
    return Step{std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
  });
}

/// One of few, so that they repeat; all of one length.
inline std::string key_name(std::uint32_t n) { return "key " + std::to_string(n % 5); }

inline void same(const QueuedMessage& got, std::uint64_t id, const Model& model) {
  RC_ASSERT(got.id.value() == id);
  const auto& m = model.messages.at(id);
  RC_ASSERT(std::ranges::equal(got.body.view(), m.body));
  RC_ASSERT(got.deliveries == m.deliveries);
  RC_ASSERT(got.persisted == m.durable);
  RC_ASSERT(got.created_at.ms() == m.created_ms);
}

/// All that can be asked is answered alike.
inline void compare(const Engine& engine, const Model& model) {
  std::size_t count = 0;
  engine.each([&](const Found& found) {
    ++count;
    const auto id = found.message->id.value();
    RC_ASSERT(model.messages.contains(id));
    const auto* m = &model.messages.at(id);
    same(*found.message, id, model);
    RC_ASSERT(found.state == m->state);
    if (m->state == MessageState::kDelayed) {
      RC_ASSERT(found.ready_at->ms() == m->ready_ms);
    }
    RC_ASSERT(found.lease_until.has_value() == (m->state == MessageState::kLeased && !m->held));
    if (found.lease_until) {
      RC_ASSERT(found.lease_until->ms() == m->lease_ends_ms);
    }
  });
  RC_ASSERT(count == model.messages.size());
  std::vector<std::uint64_t> order;
  for (const auto& queued : engine.peek(1000)) order.push_back(queued.id.value());
  RC_ASSERT(order == model.order());
  const auto dead = model.dead();
  const auto letters = engine.dead_letters({}, 100);
  RC_ASSERT(letters.size() == dead.size());
  for (std::size_t i = 0; i < dead.size(); ++i) {
    const auto& m = model.messages.at(dead[i]);
    RC_ASSERT(letters[i].message.id.value() == dead[i]);
    RC_ASSERT(letters[i].reason == m.reason);
    RC_ASSERT(letters[i].last_error == m.last_error);
    RC_ASSERT(letters[i].died_at.ms() == m.died_ms);
    const auto next = engine.dead_letters(DeadPosition{m.died_ms, MessageId(dead[i])}, 1);
    RC_ASSERT(next.size() == (i + 1 < dead.size() ? 1U : 0U));
    if (!next.empty()) RC_ASSERT(next[0].message.id.value() == dead[i + 1]);
  }
  const auto metrics = engine.metrics();
  RC_ASSERT(describe(metrics.counters) == describe(model.counters));
  RC_ASSERT(metrics.idempotency_keys >= model.keys.size());
  RC_ASSERT(metrics.idempotency_keys <= model.most_keys());
  RC_ASSERT(engine.paused().bits() == model.paused);
  std::uint64_t ready = 0, delayed = 0, leased = 0, bytes = 0;
  for (const auto& [id, m] : model.messages) {
    ready += m.state == MessageState::kReady;
    delayed += m.state == MessageState::kDelayed;
    leased += m.state == MessageState::kLeased;
    if (m.state != MessageState::kDead) bytes += m.body.size();
  }
  bytes += metrics.idempotency_keys * key_name(0).size();
  RC_ASSERT(metrics.ready == ready);
  RC_ASSERT(metrics.delayed == delayed);
  RC_ASSERT(metrics.leases_out == leased);
  RC_ASSERT(metrics.depth == ready + delayed + leased);
  RC_ASSERT(metrics.bytes == bytes);
}

}  // namespace qh::queue
