#include "acknowledged_calls.h"

#include <cerrno>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Options calls_options(std::uint64_t seed) {
  auto options = small_options();
  options.batches_in_flight = seed % 2 == 0 ? 4 : 1;
  options.max_deliveries = 1'000;
  return options;
}

SimDisk::Options calls_disk(std::uint64_t seed) {
  SimDisk::Options disk;
  disk.inline_share = seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.5 : 0.0;
  return disk;
}

}  // namespace

AcknowledgedCalls::AcknowledgedCalls(std::uint64_t seed, bool faults)
    : rng_(seed), faults_(faults), m_(seed, calls_options(seed), calls_disk(seed)) {}

void AcknowledgedCalls::run(int lives) {
  for (int life = 0; life < lives && !::testing::Test::HasFailure(); ++life) {
    m_.disk.faults().clear();
    m_.disk.set_capacity(UINT64_MAX);
    const auto report = m_.start();
    ASSERT_TRUE(report) << report.error().to_string();
    expect_promises();
    leases_.clear();
    asked_.clear();
    if (faults_ && rng_.below(2) == 0) plan_faults();
    for (auto calls = rng_.below(200) + 1; calls > 0; --calls) one();
    steps();
    end_life();
  }
}

void AcknowledgedCalls::plan_faults() {
  if (rng_.below(2) == 0)
    m_.disk.faults().plan({.ops = kMakesDurable, .nth = rng_.below(80) + 1, .os_errno = EIO});
  else
    m_.disk.set_capacity(m_.disk.used_bytes() + rng_.below(200'000));
}

void AcknowledgedCalls::end_life() {
  if (rng_.below(12) == 0 && m_.engine->state() == EngineState::kRunning)
    static_cast<void>(m_.stop());  // on a full disk it may fail
  else if (rng_.below(2) == 0)
    m_.power_cut(rng_.next());
  else
    m_.process_kill(rng_.next());
}

void AcknowledgedCalls::expect_promises() {
  for (auto& [id, promise] : promises_) {
    SCOPED_TRACE(fmt::format("message {}", id));
    expect_promise(promise, m_.engine->find(MessageId(id)), m_.world.wall());
    if (promise.is != Is::kGone && promise.is != Is::kDelayed) promise.is = Is::kThere;
  }
  EXPECT_TRUE(!paused_ || m_.engine->paused().bits() == paused_->bits());
}

void AcknowledgedCalls::expect_promise(const Promise& promise, const Found& found, WallTime now) {
  const auto state = found.state;
  switch (promise.is) {
    case Is::kThere:
      EXPECT_NE(state, MessageState::kGone);
      return;
    case Is::kGone:
      EXPECT_EQ(state, MessageState::kGone);
      return;
    case Is::kRevived:
      EXPECT_EQ(state, MessageState::kReady);
      return;
    case Is::kDelayed:
      if (promise.ready_ms <= now.ms()) return;
      EXPECT_TRUE(state == MessageState::kDelayed || state == MessageState::kDead) << message_state_name(state);
      EXPECT_TRUE(!found.ready_at || found.ready_at->ms() >= promise.ready_ms);
      break;
    case Is::kHeld:
      EXPECT_TRUE(state == MessageState::kReady || state == MessageState::kDead) << message_state_name(state);
      break;
  }
  EXPECT_EQ(found.message ? found.message->deliveries : UINT32_MAX, promise.deliveries);
}

void AcknowledgedCalls::touch(std::uint64_t id) {
  ++asked_[id];
  const auto it = promises_.find(id);
  if (it != promises_.end() && it->second.is != Is::kGone) promises_.erase(it);
}

template <class T>
auto AcknowledgedCalls::promise(std::uint64_t id, Promise promised) {
  touch(id);
  return [this, id, promised, turn = asked_[id]](Result<T> result) {
    if (!result || asked_[id] != turn) return;
    if constexpr (std::is_same_v<T, LeaseOutcome>) {
      if (result->done != 1) return;
    }
    promises_[id] = promised;
  };
}

// -- Calls -----------------------------------------------------------------------------------------------------

void AcknowledgedCalls::steps() {
  for (auto n = rng_.below(12); n > 0; --n) m_.step();
}

void AcknowledgedCalls::one() {
  const auto what = rng_.below(16);
  if (what < 3)
    submit();
  else if (what == 3)
    batch();
  else if (what < 7)
    lease();
  else if (what < 11)
    answer_lease();
  else if (what == 11)
    tidy_dead();
  else if (what == 12)
    remove();
  else if (what == 13)
    pause_or_resume();
  else if (what == 14 && rng_.below(4) == 0)
    m_.engine->compact_wal([](auto) {});
  else if (what == 14)
    m_.run_for(milliseconds(rng_.below(1'000)));
  if (rng_.below(2) == 0) steps();
}

Submission AcknowledgedCalls::fresh(Durability durability) {
  auto how = sync_by("a");
  how.durability = durability;
  if (rng_.below(4) == 0) how.expires_at = m_.world.wall() + milliseconds(rng_.below(2'000)) + -milliseconds(100);
  const auto size = rng_.below(4) == 0 ? rng_.below(6'000) : rng_.below(200);
  return {encode(Message(gossip("g", std::string(size, 'g')))).value(), how};
}

void AcknowledgedCalls::submit() {
  const auto durability = rng_.below(4) == 0 ? Durability::kAsync : Durability::kSync;
  m_.engine->submit(fresh(durability), [this, durability](Result<Submitted> done) {
    if (done && durability == Durability::kSync && asked_[done->id.value()] == 0)
      promises_[done->id.value()] = {Is::kThere};
  });
}

void AcknowledgedCalls::batch() {
  std::vector<Submission> batch;
  for (auto n = rng_.below(8) + 1; n > 0; --n) batch.push_back(fresh(Durability::kSync));
  m_.engine->submit_batch(std::move(batch), [this](Result<std::vector<Submitted>> done) {
    if (!done) return;
    for (const auto& one : *done) {
      if (asked_[one.id.value()] == 0) promises_[one.id.value()] = {Is::kThere};
    }
  });
}

void AcknowledgedCalls::lease() {
  m_.engine->lease({KindMask::all(), MonoTime{}}, static_cast<std::uint32_t>(rng_.below(5) + 1), seconds(20),
                   [this](Result<std::vector<Leased>> leased) {
                     if (!leased) return;
                     for (const auto& one : *leased)
                       leases_.push_back({one.lease, one.message.id.value(), one.message.persisted});
                   });
}

void AcknowledgedCalls::answer_lease() {
  if (leases_.empty()) return;
  const auto at = leases_.begin() + static_cast<std::ptrdiff_t>(rng_.below(leases_.size()));
  const auto [lease, id, persisted] = *at;
  const auto found = m_.engine->find(MessageId(id));
  if (found.state != MessageState::kLeased || !persisted) return;
  leases_.erase(at);
  const auto what = rng_.below(4);
  if (what == 0) {
    m_.engine->ack({lease}, promise<LeaseOutcome>(id, {Is::kGone}));
  } else if (what == 1) {
    m_.engine->hold({lease}, promise<LeaseOutcome>(id, {Is::kHeld}));
  } else {
    const auto ready_ms = (m_.world.wall() + seconds(100)).ms();
    m_.engine->nack({lease}, seconds(100), "no",
                    promise<LeaseOutcome>(id, {Is::kDelayed, ready_ms, found.message->deliveries}));
  }
}

void AcknowledgedCalls::tidy_dead() {
  const auto id = any_in(MessageState::kDead);
  if (id == 0 || !m_.engine->find(MessageId(id)).message->persisted) return;
  if (rng_.below(3) == 0)
    m_.engine->purge_dead(MessageId(id), promise<std::uint64_t>(id, {Is::kGone}));
  else
    m_.engine->retry_dead(MessageId(id), promise<std::uint64_t>(id, {Is::kRevived}));
}

void AcknowledgedCalls::remove() {
  const auto id = any_in(MessageState::kReady);
  if (id == 0) return;
  touch(id);
  m_.engine->remove(MessageId(id), [this, id](Result<bool> done) {
    if (done && *done) promises_[id] = {Is::kGone};
  });
}

/// Also while an earlier one is not answered, as on a connection that pipelines: the newest holds.
void AcknowledgedCalls::pause_or_resume() {
  const auto kinds = KindMask(static_cast<std::uint8_t>(rng_.below(8) << 3U));
  paused_.reset();
  auto told = [this, turn = ++pauses_](Result<KindMask> paused) {
    if (paused && pauses_ == turn) paused_ = *paused;
  };
  if (rng_.below(2) == 0)
    m_.engine->pause(kinds.without(KindMask::of(Kind::kGossip)), told);
  else
    m_.engine->resume(kinds, told);
}

std::uint64_t AcknowledgedCalls::any_in(MessageState state) {
  std::vector<std::uint64_t> ids;
  m_.engine->each([&](const Found& found) {
    if (found.state == state) ids.push_back(found.message->id.value());
  });
  return ids.empty() ? 0 : ids[rng_.below(ids.size())];
}

}  // namespace qh::queue
