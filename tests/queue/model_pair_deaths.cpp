// The death of a message and what is asked right behind it, before the log has it on disk; and a crash in between.
#include "model_pair.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;

/// Asked, and nothing else has happened yet: neither a write nor an event.
template <class T, class Start>
std::shared_ptr<std::optional<Result<T>>> ask(Start start) {
  auto asked = std::make_shared<std::optional<Result<T>>>();
  start(UniqueFunction<void(Result<T>)>([asked](Result<T> result) { *asked = std::move(result); }));
  return asked;
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

void Pair::give_back(Asking& asking, const std::string& error) {
  asking.nack = ask<LeaseOutcome>(
      [&](auto done) { m_.engine->nack({LeaseId(last_lease_)}, milliseconds(0), error, std::move(done)); });
  auto& m = model_.messages.at(asking.id);
  ++model_.counters.nacked;
  if (!error.empty()) m.last_error = error;
  model_.die(m, DeadReason::kMaxDeliveries, error.empty() ? "given back by its consumer" : error);
  model_.limit_dead();
}

/// Up to the event in which its lease ends, which is due with the next millisecond. True: the log has written it
/// already, since a segment came in the same event.
bool Pair::lapse(std::uint64_t id) {
  const auto durable = [&] { return m_.engine->metrics().wal_durable_seq; };
  auto before = durable();
  RC_ASSERT(m_.run_until([&] {
    if (m_.engine->find(MessageId(id)).state != MessageState::kLeased) return true;
    before = durable();
    return false;
  }));
  model_.advance(1);
  RC_ASSERT(m_.world.wall().ms() == model_.now_ms);
  return durable() > before;
}

void Pair::undo(Asking& asking, std::uint32_t how) {
  const MessageId id(asking.id);
  Model::Message* m = message(asking.id);
  const bool dead = m != nullptr && m->state == MessageState::kDead;  // it may have left already, as the oldest
  if (how % 4 == 1) {
    asking.undo = ask<std::uint64_t>([&](auto done) { m_.engine->retry_all_dead(0, std::move(done)); });
    asking.undone = model_.dead().size();
    for (const auto letter : model_.dead()) revive(model_.messages.at(letter));
  } else if (how % 4 == 2) {
    asking.undo = ask<std::uint64_t>([&](auto done) { m_.engine->retry_dead(id, std::move(done)); });
    if (!dead) return;
    asking.undone = 1;
    revive(*m);
  } else if (how % 4 == 3) {
    asking.undo = ask<std::uint64_t>([&](auto done) { m_.engine->purge_dead(id, std::move(done)); });
    if (!dead) return;
    asking.undone = 1;
    model_.messages.erase(asking.id);
    ++model_.counters.removed;
  }
}

/// Whatever became of the message, its key is as good as ever.
void Pair::repeat(Asking& asking, const std::string& key) {
  if (key.empty() || !model_.keys.contains(key)) return;
  SubmitOptions how;
  how.durability = Durability::kSync;
  how.idempotency_key = key;
  asking.repeat = ask<Submitted>([&](auto done) {
    m_.engine->submit({encode(Gossip{"again", {}}).value(), how}, std::move(done));
  });
  ++model_.counters.duplicates;
}

void Pair::expect_answers(const Asking& asking) const {
  if (asking.nack) {
    RC_ASSERT(asking.nack->has_value());
    RC_ASSERT((*asking.nack)->has_value());
    RC_ASSERT((**asking.nack)->done == 1);
  }
  if (asking.undo) {
    RC_ASSERT(asking.undo->has_value());
    RC_ASSERT((*asking.undo)->has_value() == asking.undone.has_value());
    if (asking.undone) RC_ASSERT(***asking.undo == *asking.undone);
  }
  if (asking.repeat) {
    RC_ASSERT(asking.repeat->has_value());
    RC_ASSERT((*asking.repeat)->has_value());
    const Submitted& answer = ***asking.repeat;
    RC_ASSERT(answer.duplicate);
    RC_ASSERT(answer.persisted);
    RC_ASSERT(answer.id.value() == asking.id);
  }
}

// What a crash brings back is the model as it was when the log was last written.
void Pair::death(const Step& s) {
  Asking asking;
  asking.id = lease_to_the_last();
  if (asking.id == 0) return;
  const bool lapses = s.a % 2 == 1;
  if (lapses) wait(99);  // one millisecond before its lease ends
  const auto key = model_.messages.at(asking.id).key;
  auto on_disk = model_;
  bool written = false;
  if (lapses)
    written = lapse(asking.id);
  else
    give_back(asking, s.a % 4 == 0 ? "" : "error " + std::to_string(s.a));
  compare(*m_.engine, model_);
  if (s.b % 3 == 0) {
    flush();
    written = true;
  }
  if (written) on_disk = model_;
  undo(asking, s.c);
  repeat(asking, key);
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
  expect_answers(asking);
}

}  // namespace qh::queue
