// The death of a message and what is asked right behind it, before the log has it on disk; and a crash in between.
#include "model_pair.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;

template <class T>
using Asked = std::shared_ptr<std::optional<Result<T>>>;

/// Asked, and nothing else has happened yet: neither a write nor an event.
template <class T, class Start>
Asked<T> ask(Start start) {
  auto asked = std::make_shared<std::optional<Result<T>>>();
  start(UniqueFunction<void(Result<T>)>([asked](Result<T> result) { *asked = std::move(result); }));
  return asked;
}

template <class T>
const T& answer_of(const Asked<T>& asked) {
  RC_ASSERT(asked->has_value());
  RC_ASSERT((*asked)->has_value());
  return ***asked;
}

}  // namespace

std::uint64_t Pair::lease_to_the_last() {
  for (std::uint32_t i = 0; i < 3 * model_.max_deliveries; ++i) {
    const auto before = last_lease_;
    lease({Call::kLease, 1, 0, 0});  // any kind, 100 ms, one
    if (last_lease_ == before) return 0;
    const Model::Message* m = model_.leased(last_lease_);
    if (m->deliveries >= model_.max_deliveries) {
      return std::find_if(model_.messages.begin(), model_.messages.end(), [&](const auto& x) { return &x.second == m; })
          ->first;
    }
    nack({last_lease_}, {Call::kNack, 0, 0, 0});  // back at once
  }
  return 0;
}

/// What gathered is written, and the disk answers at once.
void Pair::flush() {
  m_.engine->pump();
  const auto metrics = m_.engine->metrics();
  RC_ASSERT(metrics.wal_durable_seq == metrics.wal_appended_seq);
}

// What a crash brings back is the model as it was when the log was last written.
void Pair::death(const Step& s) {
  const auto id = lease_to_the_last();
  if (id == 0) return;
  const bool by_nack = s.a % 2 == 0;
  if (!by_nack) wait(99);  // its lease ends with the next millisecond
  const auto key = model_.messages.at(id).key;
  auto on_disk = model_;

  Asked<LeaseOutcome> nacked;
  if (by_nack) {
    const std::string error = s.a % 4 == 0 ? "" : "error " + std::to_string(s.a);
    nacked = ask<LeaseOutcome>(
        [&](auto done) { m_.engine->nack({LeaseId(last_lease_)}, milliseconds(0), error, std::move(done)); });
    auto& m = model_.messages.at(id);
    ++model_.counters.nacked;
    if (!error.empty()) m.last_error = error;
    model_.die(m, DeadReason::kMaxDeliveries, error.empty() ? "given back by its consumer" : error);
    model_.limit_dead();
  } else {
    RC_ASSERT(m_.run_until([&] { return m_.engine->find(MessageId(id)).state != MessageState::kLeased; }));
    model_.advance(1);
    RC_ASSERT(m_.world.wall().ms() == model_.now_ms);
  }
  compare(*m_.engine, model_);
  if (s.b % 3 == 0) {
    flush();
    on_disk = model_;
  }

  Asked<std::uint64_t> undone;
  std::optional<std::uint64_t> expected;
  Model::Message* m = message(id);
  const bool dead = m != nullptr && m->state == MessageState::kDead;  // it may have left already, as the oldest
  switch (s.c % 4) {
    case 0:
      break;
    case 1:
      undone = ask<std::uint64_t>([&](auto done) { m_.engine->retry_all_dead(0, std::move(done)); });
      expected = model_.dead().size();
      for (const auto letter : model_.dead()) revive(model_.messages.at(letter));
      break;
    case 2:
      undone = ask<std::uint64_t>([&](auto done) { m_.engine->retry_dead(MessageId(id), std::move(done)); });
      if (dead) {
        expected = 1;
        revive(*m);
      }
      break;
    default:
      undone = ask<std::uint64_t>([&](auto done) { m_.engine->purge_dead(MessageId(id), std::move(done)); });
      if (dead) {
        expected = 1;
        model_.messages.erase(id);
        ++model_.counters.removed;
      }
  }
  // Its key is as good as ever.
  Asked<Submitted> repeated;
  if (!key.empty() && model_.keys.contains(key)) {
    SubmitOptions how;
    how.durability = Durability::kSync;
    how.idempotency_key = key;
    repeated = ask<Submitted>([&](auto done) {
      m_.engine->submit({encode(Gossip{"again", {}}).value(), how}, std::move(done));
    });
    ++model_.counters.duplicates;
  }
  compare(*m_.engine, model_);

  switch (s.b / 3 % 4) {
    case 0:
      on_disk.now_ms = model_.now_ms;
      model_ = std::move(on_disk);
      return crash();
    case 1:
      stop();
      break;
    case 2:
      flush();
      crash();
      break;
    default:
      flush();
  }
  if (nacked) RC_ASSERT(answer_of(nacked).done == 1);
  if (undone) {
    RC_ASSERT(undone->has_value());
    RC_ASSERT((*undone)->has_value() == expected.has_value());
    if (expected) RC_ASSERT(answer_of(undone) == *expected);
  }
  if (repeated) {
    const auto& answer = answer_of(repeated);
    RC_ASSERT(answer.duplicate);
    RC_ASSERT(answer.persisted);
    RC_ASSERT(answer.id.value() == id);
  }
}

}  // namespace qh::queue
