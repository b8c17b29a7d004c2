// What consumers do: take, lease, and what comes of a lease.
#include "model_pair.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;

std::vector<LeaseId> ids_of(const std::vector<std::uint64_t>& leases) {
  std::vector<LeaseId> ids;
  ids.reserve(leases.size());
  for (const auto lease : leases) ids.emplace_back(lease);
  return ids;
}

}  // namespace

void Pair::take_batch(KindMask mask, std::uint32_t max) {
  auto got = m_.answer<std::vector<Taken>>([&](auto done) {
    m_.engine->take_batch({mask, MonoTime{}}, max, std::move(done));
  });
  RC_ASSERT(got.has_value());
  std::size_t at = 0;
  for (; at < max; ++at) {
    const auto expected = model_.pick(mask);
    if (!expected) break;
    RC_ASSERT(at < got->size());
    same(std::move(got->at(at)).consume(), *expected, model_);
    ++model_.counters.taken;
    model_.messages.erase(*expected);
  }
  RC_ASSERT(at == got->size());
}

void Pair::take(KindMask mask) {
  auto got = m_.answer<std::optional<Taken>>([&](auto done) { m_.engine->take({mask, MonoTime{}}, std::move(done)); });
  RC_ASSERT(got.has_value());
  const auto expected = model_.pick(mask);
  RC_ASSERT(got->has_value() == expected.has_value());
  if (!expected) return;
  same(std::move(**got).consume(), *expected, model_);
  ++model_.counters.taken;
  model_.messages.erase(*expected);
}

void Pair::lease(const Step& s) {
  const auto mask = mask_of(s.a);
  const auto ms = 100 + s.b;
  const auto got = m_.answer<std::vector<Leased>>([&](auto done) {
    m_.engine->lease({mask, MonoTime{}}, s.c % 3 + 1, milliseconds(ms), std::move(done));
  });
  RC_ASSERT(got.has_value());
  std::size_t at = 0;
  for (; at < s.c % 3 + 1; ++at) {
    const auto id = model_.pick(mask);
    if (!id) break;
    RC_ASSERT(at < got->size());
    auto& m = model_.messages.at(*id);
    ++m.deliveries;
    m.state = MessageState::kLeased;
    m.held = false;
    m.lease = got->at(at).lease.value();
    m.lease_ends_ms = model_.now_ms + ms;
    ++model_.counters.leased;
    RC_ASSERT(m.lease > last_lease_);
    last_lease_ = m.lease;
    leases_.push_back(m.lease);
    same(got->at(at).message, *id, model_);
  }
  RC_ASSERT(at == got->size());
}

std::vector<std::uint64_t> Pair::some_leases(const Step& s) const {
  std::vector<std::uint64_t> some;
  for (std::uint32_t i = 0; i < s.c % 3 + 1 && !leases_.empty(); ++i) {
    const auto back = (s.a + i * s.b) % std::min<std::size_t>(leases_.size(), 6);
    some.push_back(leases_[leases_.size() - 1 - back]);
  }
  return some;
}

template <class Change>
void Pair::expect_outcome(const Result<LeaseOutcome>& got, const std::vector<std::uint64_t>& leases, Change change) {
  RC_ASSERT(got.has_value());
  std::uint64_t done = 0;
  std::vector<LeaseId> lost;
  std::set<std::uint64_t> seen;
  for (const auto lease : leases) {
    Model::Message* m = seen.insert(lease).second ? model_.leased(lease) : nullptr;
    if (m == nullptr) {
      lost.emplace_back(lease);
      continue;
    }
    ++done;
    change(*m);
  }
  RC_ASSERT(got->done == done);
  RC_ASSERT(got->lost == lost);
}

void Pair::ack(const std::vector<std::uint64_t>& leases) {
  const auto got = m_.answer<LeaseOutcome>([&](auto done) { m_.engine->ack(ids_of(leases), std::move(done)); });
  expect_outcome(got, leases, [&](Model::Message& m) {
    ++model_.counters.acked;
    model_.erase(&m);
  });
}

void Pair::nack(const std::vector<std::uint64_t>& leases, const Step& s) {
  std::optional<Duration> delay;
  if (s.b % 3 == 0) delay = milliseconds(0);
  if (s.b % 3 == 1) delay = milliseconds(s.a);
  const std::string error = s.b % 2 == 0 ? "" : "error " + std::to_string(s.a);
  const auto got =
      m_.answer<LeaseOutcome>([&](auto done) { m_.engine->nack(ids_of(leases), delay, error, std::move(done)); });
  expect_outcome(got, leases, [&](Model::Message& m) {
    ++model_.counters.nacked;
    if (!error.empty()) m.last_error = error;
    if (m.deliveries >= model_.max_deliveries)
      return model_.die(m, DeadReason::kMaxDeliveries, error.empty() ? "given back by its consumer" : error);
    m.ready_is_rounded = false;
    m.state = delay == milliseconds(0) ? MessageState::kReady : MessageState::kDelayed;
    m.ready_ms = model_.now_ms + (delay ? delay->count() / 1'000'000 : 0);
    if (delay) return;
    // The default is spread by chance: within its bounds the engine's word is taken.
    const auto id = std::find_if(model_.messages.begin(), model_.messages.end(), [&](const auto& x) {
                      return &x.second == &m;
                    })->first;
    const auto found = m_.engine->find(MessageId(id));
    RC_ASSERT(found.state == MessageState::kDelayed);
    m.ready_ms = found.ready_at->ms();
    const auto base = std::min<std::int64_t>(60'000, 1000LL << m.deliveries);
    const auto wait = m.ready_ms - model_.now_ms;
    RC_ASSERT(wait >= base * 8 / 10 - 1);
    RC_ASSERT(wait <= base * 12 / 10);
    m.ready_is_rounded = true;
  });
  model_.limit_dead();
}

void Pair::extend(const std::vector<std::uint64_t>& leases, const Step& s) {
  const auto got = m_.engine->extend(ids_of(leases), milliseconds(100 + s.b));
  expect_outcome(got, leases, [&](Model::Message& m) { m.lease_ends_ms = model_.now_ms + 100 + s.b; });
}

void Pair::hold(const std::vector<std::uint64_t>& leases) {
  const auto got = m_.answer<LeaseOutcome>([&](auto done) { m_.engine->hold(ids_of(leases), std::move(done)); });
  expect_outcome(got, leases, [&](Model::Message& m) {
    m.held = true;
    m.deliveries = 0;
  });
}

}  // namespace qh::queue
