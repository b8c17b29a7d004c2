// What operators do: remove, purge, pause, and the dead letters.
#include "model_pair.h"

namespace qh::queue {

using std::chrono::milliseconds;

std::uint64_t Pair::some_id(std::uint32_t n) const {
  if (model_.messages.empty() || n % 7 == 0) return n + 1;
  return std::next(model_.messages.begin(), n % static_cast<std::uint32_t>(model_.messages.size()))->first;
}

Model::Message* Pair::message(std::uint64_t id) {
  const auto it = model_.messages.find(id);
  return it == model_.messages.end() ? nullptr : &it->second;
}

void Pair::remove(std::uint64_t id) {
  const auto got = m_.answer<bool>([&](auto done) { m_.engine->remove(MessageId(id), std::move(done)); });
  Model::Message* m = message(id);
  if (m != nullptr && m->state == MessageState::kLeased) {
    RC_ASSERT(!got.has_value());
    RC_ASSERT(got.error().code == Errc::kBusy);
    return;
  }
  RC_ASSERT(got.has_value());
  RC_ASSERT(*got == (m != nullptr && m->state != MessageState::kDead));
  if (!*got) return;
  ++model_.counters.removed;
  model_.messages.erase(id);
}

void Pair::purge(KindMask mask, std::int64_t older_ms) {
  const auto got =
      m_.answer<std::uint64_t>([&](auto done) { m_.engine->purge(mask, milliseconds(older_ms), std::move(done)); });
  RC_ASSERT(got.has_value());
  const auto count = std::erase_if(model_.messages, [&](const auto& x) {
    const auto& m = x.second;
    const bool waits = m.state == MessageState::kReady || m.state == MessageState::kDelayed;
    return waits && mask.has(m.kind) && m.created_ms <= model_.now_ms - older_ms;
  });
  RC_ASSERT(*got == count);
  model_.counters.removed += count;
}

void Pair::pause(KindMask mask) {
  const auto resumed = m_.answer<KindMask>([&](auto done) { m_.engine->resume(KindMask::all(), std::move(done)); });
  const auto paused = m_.answer<KindMask>([&](auto done) { m_.engine->pause(mask, std::move(done)); });
  RC_ASSERT(resumed.has_value());
  RC_ASSERT(paused.has_value());
  RC_ASSERT(*paused == mask);
  model_.paused = mask.bits();
}

void Pair::revive(Model::Message& m) {
  m.state = MessageState::kReady;
  m.deliveries = 0;
  m.expires_ms = 0;
  ++model_.counters.dead_retried;
}

void Pair::retry(std::uint64_t id) {
  const auto got = m_.answer<std::uint64_t>([&](auto done) { m_.engine->retry_dead(MessageId(id), std::move(done)); });
  Model::Message* m = message(id);
  RC_ASSERT(got.has_value() == (m != nullptr && m->state == MessageState::kDead));
  if (got) revive(*m);
}

void Pair::retry_all() {
  const auto got = m_.answer<std::uint64_t>([&](auto done) { m_.engine->retry_all_dead(0, std::move(done)); });
  RC_ASSERT(got.has_value());
  RC_ASSERT(*got == model_.dead().size());
  for (const auto id : model_.dead()) revive(model_.messages.at(id));
}

void Pair::purge_dead(std::uint64_t id, std::int64_t older_ms) {
  const auto got = m_.answer<std::uint64_t>([&](auto done) {
    if (id != 0)
      m_.engine->purge_dead(MessageId(id), std::move(done));
    else
      m_.engine->purge_dead_older(milliseconds(older_ms), std::move(done));
  });
  std::vector<std::uint64_t> gone;
  for (const auto dead : model_.dead()) {
    if (id != 0 ? dead == id : model_.messages.at(dead).died_ms <= model_.now_ms - older_ms) gone.push_back(dead);
  }
  RC_ASSERT(got.has_value() == (id == 0 || !gone.empty()));
  if (got) {
    RC_ASSERT(*got == gone.size());
  }
  for (const auto dead : gone) model_.messages.erase(dead);
  model_.counters.removed += gone.size();
}

}  // namespace qh::queue
