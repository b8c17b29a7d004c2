#include "restart_life.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kDeadMax = 1'000;
constexpr std::int64_t kDeathIsWrittenWithinMs = 200;

Options life_options(std::uint64_t seed) {
  auto options = small_options();
  options.batches_in_flight = seed % 2 == 0 ? 4 : 1;
  options.max_deliveries = 3;
  options.dead_letters_max = seed % 3 == 0 ? 4 : kDeadMax;
  options.idempotency_keys_max = 1'000;
  options.idempotency_window = seconds(40);
  return options;
}

SimDisk::Options life_disk(std::uint64_t seed) {
  SimDisk::Options disk;
  disk.inline_share = seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.5 : 0.0;
  disk.stall_one_in = 0;
  return disk;
}

}  // namespace

std::string Looked::text() const {
  return fmt::format("{}, ready at {}, {} deliveries, by {}, made {}, body {}, dead: '{}' '{}' {}",
                     message_state_name(state), ready_at_ms, deliveries, submitted_by, created_ns, to_hex(body), reason,
                     error, died_ms);
}

LookedAt look(const Engine& engine) {
  LookedAt all;
  engine.each([&](const Found& found) {
    const auto& message = *found.message;
    Looked one;
    one.state = found.state;
    one.ready_at_ms = found.ready_at ? found.ready_at->ms() : 0;
    one.deliveries = message.deliveries;
    one.submitted_by = message.submitted_by;
    one.body = Bytes(message.body.view().begin(), message.body.view().end());
    one.created_ns = message.created_at.ns;
    one.persisted = message.persisted;
    one.expires = found.expires_at.has_value();
    one.held = found.state == MessageState::kLeased && !found.lease_until;
    all[message.id.value()] = std::move(one);
  });
  for (const auto& letter : engine.dead_letters({}, kDeadMax)) {
    auto& one = all.at(letter.message.id.value());
    one.reason = dead_reason_name(letter.reason);
    one.error = letter.last_error;
    one.died_ms = letter.died_at.ms();
  }
  return all;
}

RestartLife::RestartLife(std::uint64_t seed, LifeOptions how)
    : rng_(seed), how_(how), m_(seed, life_options(seed), life_disk(seed)) {}

void RestartLife::run(int lives, int calls) {
  ASSERT_TRUE(m_.start());
  for (int life = 0; life < lives && !::testing::Test::HasFailure(); ++life) {
    for (int i = 0; i < calls; ++i) one();
    come_to_rest();
    restart();
  }
}

/// Nothing is on its way, and there has been room for a while.
void RestartLife::come_to_rest() {
  m_.disk.set_capacity(UINT64_MAX);
  m_.run_for(milliseconds(3'500));
  const auto at_rest = [&] {
    m_.engine->pump();
    const auto metrics = m_.engine->metrics();
    return metrics.wal_appended_seq == metrics.wal_durable_seq;
  };
  EXPECT_TRUE(m_.run_until(at_rest, 10'000));
}

void RestartLife::restart() {
  const auto by = static_cast<RestartBy>(rng_.below(3));
  SCOPED_TRACE(fmt::format("restart by {}", static_cast<int>(by)));
  const auto was = look(*m_.engine);
  const auto counted = m_.engine->metrics().counters;
  const auto paused = m_.engine->paused();
  const auto ended_ms = m_.world.wall().ms();
  KnownKeys known;
  const bool probe = by != RestartBy::kStop && rng_.below(2) == 0;
  if (probe) known = known_keys();
  if (by == RestartBy::kStop) {
    const auto stopped = m_.stop();
    ASSERT_TRUE(stopped) << stopped.error().to_string();
  } else if (by == RestartBy::kPowerCut) {
    m_.power_cut(rng_.next());
  } else {
    m_.process_kill(rng_.next());
  }
  leases_.clear();
  const auto report = m_.start();
  ASSERT_TRUE(report) << report.error().to_string();
  compare(was, counted, by, ended_ms);
  EXPECT_EQ(m_.engine->paused().bits(), paused.bits());
  if (!probe) return;
  for (const auto& [key, id] : known) {
    m_.engine->submit(keyed(key), [&, first = id](Result<Submitted> done) {
      EXPECT_TRUE(done && done->duplicate && done->id == first) << first.value();
    });
  }
  m_.run_for(milliseconds(500));
}

/// Keys that are on disk and young. What is stored here, where a key is not known, is only in memory.
RestartLife::KnownKeys RestartLife::known_keys() {
  KnownKeys known;
  for (const auto& [key, since] : keys_) {
    if (m_.world.mono() - since >= seconds(30)) continue;
    m_.engine->submit(keyed(key), [&, name = key](Result<Submitted> done) {
      if (done && done->duplicate && done->persisted) known.emplace(name, done->id);
    });
  }
  return known;
}

void RestartLife::compare(LookedAt was, const Counters& counted, RestartBy by, std::int64_t ended_ms) {
  const auto died = compare_messages(was, look(*m_.engine), by, ended_ms);
  const auto count = m_.engine->metrics().counters;
  if (!how_.only_sync && by != RestartBy::kStop) return;  // what was only in memory is not in the log's counters
  EXPECT_EQ(count.submitted_sync, counted.submitted_sync);
  EXPECT_EQ(count.taken, counted.taken);
  EXPECT_EQ(count.leased, counted.leased);
  EXPECT_EQ(count.acked, counted.acked);
  EXPECT_EQ(count.nacked, counted.nacked);
  EXPECT_EQ(count.removed, counted.removed);
  EXPECT_TRUE(m_.options.dead_letters_max < kDeadMax || count.dead_evicted == counted.dead_evicted);
  if (by == RestartBy::kStop) return;  // it takes time, in which messages expire and letters are retried
  EXPECT_EQ(count.dead_retried, counted.dead_retried);
  EXPECT_EQ(count.dead_lettered, counted.dead_lettered + died);
}

bool RestartLife::died_by_the_start(const Looked& was, const Looked& is, RestartBy by, std::int64_t ended_ms) const {
  if (was.state == MessageState::kDead || is.state != MessageState::kDead) return false;
  const bool delivered_too_often = was.state == MessageState::kLeased && by != RestartBy::kStop &&
                                   was.deliveries >= m_.options.max_deliveries && is.reason == "max_deliveries";
  const bool expired = is.reason == "expired" && (was.state == MessageState::kLeased || is.died_ms - ended_ms < 1'000);
  return (delivered_too_often || expired) && is.died_ms >= ended_ms;
}

std::uint64_t RestartLife::compare_messages(const LookedAt& was, LookedAt is, RestartBy by, std::int64_t ended_ms) {
  std::uint64_t died = 0;
  const bool letters_leave = m_.options.dead_letters_max < kDeadMax;
  for (const auto& [id, before] : was) {
    const auto found = is.extract(id);
    if (!before.persisted && by != RestartBy::kStop) {
      EXPECT_TRUE(found.empty()) << id << " was only in memory";
      continue;
    }
    const bool may_die =
        before.state == MessageState::kLeased && (before.deliveries >= m_.options.max_deliveries || before.expires);
    if (found.empty()) {
      // A letter leaves for one that comes, also when that one does so itself.
      EXPECT_TRUE(letters_leave && (before.state == MessageState::kDead || may_die)) << id << ": " << before.text();
      died += before.state != MessageState::kDead;
      continue;
    }
    const auto& after = found.mapped();
    if (died_by_the_start(before, after, by, ended_ms)) {
      ++died;
      continue;
    }
    auto expected = before;
    if (before.state == MessageState::kLeased) {
      expected.state = MessageState::kReady;
      if (by == RestartBy::kStop && !before.held && expected.deliveries > 0) --expected.deliveries;
    }
    const bool due = expected.state == MessageState::kDelayed && expected.ready_at_ms <= m_.world.wall().ms();
    // Of what has just died the record may still have waited for a segment: it dies again.
    const bool just_now = after.state == MessageState::kDead && after.died_ms >= ended_ms &&
                          expected.died_ms > ended_ms - kDeathIsWrittenWithinMs;
    if (just_now) expected.died_ms = after.died_ms;
    if (due) {
      expected.state = after.state;
      expected.ready_at_ms = after.ready_at_ms;
    }
    if (by == RestartBy::kStop && before.state == MessageState::kDead && after.state == MessageState::kReady) continue;
    EXPECT_EQ(after.text(), expected.text()) << id;
  }
  for (const auto& [id, extra] : is) ADD_FAILURE() << id << " is back, or new: " << extra.text();
  return died;
}

}  // namespace qh::queue
