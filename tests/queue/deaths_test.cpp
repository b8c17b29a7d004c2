// A death is durable once the log has room for it, counts once, and nobody is handed what is dead or has expired.
#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

SubmitOptions expiring_at(WallTime at) {
  auto how = sync_by("a");
  how.expires_at = at;
  return how;
}

SimDisk::Options slow() {
  SimDisk::Options disk;
  disk.inline_share = 0;
  return disk;
}

SubmitOptions in_memory_until(WallTime at) {
  auto how = expiring_at(at);
  how.durability = Durability::kAsync;
  return how;
}

/// Leases whose answers can use up all room of the log.
std::vector<LeaseId> many_leases(QueueMachine& m) {
  std::vector<LeaseId> leases;
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(m.submit(Telemetry{"t", {}}, sync_by("a")));
  const auto leased = m.lease(500, std::chrono::hours(1));
  for (const auto& one : *leased) leases.push_back(one.lease);
  EXPECT_EQ(leases.size(), 500U);
  return leases;
}

/// Up to a moment before the message dies; then the log is filled, and the next segments are still being made when it
/// does.
void die_without_room(QueueMachine& m, MessageId id, WallTime death, const std::vector<LeaseId>& leases) {
  m.run_for(death - m.world.wall() + -std::chrono::microseconds(10));
  EXPECT_NE(m.engine->find(id).state, MessageState::kDead);
  for (const auto lease : leases) {
    m.engine->nack({lease}, std::chrono::hours(1), std::string(1'000, 'e'), [](auto) {});
  }
  EXPECT_TRUE(m.run_until([&] { return m.engine->find(id).state == MessageState::kDead; }));
  EXPECT_LE(m.world.wall() - death, milliseconds(1));
}

std::string letters(const Engine& engine) {
  std::string text;
  for (const auto& letter : engine.dead_letters({}, 1000)) {
    text += fmt::format("{} {} at {}: {}\n", describe(letter.message), dead_reason_name(letter.reason),
                        letter.died_at.ms(), letter.last_error);
  }
  return text;
}

/// Delivered as often as it may be; the last lease is out.
MessageId lease_to_the_last(QueueMachine& m) {
  const auto id = m.submit(BlockImport{}, sync_by("a"))->id;
  for (std::uint32_t i = 0; i < m.options.max_deliveries; ++i) {
    const auto leased = m.lease(1, seconds(5));
    EXPECT_EQ(leased->size(), 1U);
    if (i + 1 == m.options.max_deliveries) break;
    EXPECT_TRUE(m.nack(leased->at(0).lease, Duration(0), "an error"));
  }
  return id;
}

enum class End { kStop, kCut, kRetryAndCut, kPurgeAndCut };

void end_life(QueueMachine& m, MessageId id, End end) {
  const auto asked = m.answer<std::uint64_t>([&](auto done) {
    if (end == End::kRetryAndCut) return m.engine->retry_dead(id, std::move(done));
    if (end == End::kPurgeAndCut) return m.engine->purge_dead(id, std::move(done));
    done(1);
  });
  EXPECT_TRUE(asked);
  if (end != End::kStop) return m.power_cut(id.value());
  EXPECT_TRUE(m.stop());
}

/// The whole list of dead letters and their counters, before and after a start that comes some time later.
void expect_deaths_last(QueueMachine& m, MessageId id, End end, Duration rest) {
  m.run_for(rest);
  ASSERT_FALSE(m.engine->metrics().storage_full);
  const bool undone = end == End::kRetryAndCut || end == End::kPurgeAndCut;
  const auto was = undone ? std::string() : letters(*m.engine);
  const auto counted = m.engine->metrics().counters;
  end_life(m, id, end);
  m.run_for(seconds(100));
  ASSERT_TRUE(m.start());
  EXPECT_EQ(letters(*m.engine), was);
  const auto count = m.engine->metrics().counters;
  EXPECT_EQ(count.dead_lettered, counted.dead_lettered);
  EXPECT_EQ(count.dead_retried, counted.dead_retried + (end == End::kRetryAndCut));
  EXPECT_EQ(count.removed, counted.removed + (end == End::kPurgeAndCut));
}

class ADeathForWhichTheLogHadNoRoom : public ::testing::TestWithParam<End> {};

TEST_P(ADeathForWhichTheLogHadNoRoom, OfTooManyDeliveriesIsWrittenWhenThereIsSome) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    QueueMachine m(seed, small_options(), slow());
    ASSERT_TRUE(m.start());
    const auto id = lease_to_the_last(m);
    const auto leases = many_leases(m);
    die_without_room(m, id, m.engine->find(id).lease_until.value(), leases);
    // A stop writes it at once; otherwise it is the next segment that does.
    expect_deaths_last(m, id, GetParam(), GetParam() == End::kStop ? Duration(0) : milliseconds(200));
  }
}

TEST_P(ADeathForWhichTheLogHadNoRoom, OfExpiryIsWrittenWhenThereIsSome) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    QueueMachine m(seed, small_options(), slow());
    ASSERT_TRUE(m.start());
    const auto leases = many_leases(m);
    const auto expiry = WallTime::from_ms((m.world.wall() + seconds(1)).ms());
    const auto id = m.submit(BlockImport{}, expiring_at(expiry))->id;
    die_without_room(m, id, expiry, leases);
    expect_deaths_last(m, id, GetParam(), GetParam() == End::kStop ? Duration(0) : milliseconds(200));
  }
}

INSTANTIATE_TEST_SUITE_P(Ends, ADeathForWhichTheLogHadNoRoom,
                         ::testing::Values(End::kStop, End::kCut, End::kRetryAndCut, End::kPurgeAndCut));

TEST(Deaths, OfMessagesThatWereOnlyInMemoryAreWrittenWhenThereIsRoom) {
  QueueMachine m(1, small_options(), slow());
  ASSERT_TRUE(m.start());
  const auto leases = many_leases(m);
  const auto expiry = WallTime::from_ms((m.world.wall() + seconds(1)).ms());
  const auto id = m.submit(BlockImport{}, in_memory_until(expiry))->id;
  die_without_room(m, id, expiry, leases);
  expect_deaths_last(m, id, End::kCut, seconds(20));
}

/// On a full disk nothing is written; what was known dies again, once, and the counters say so.
TEST(Deaths, OnADiskThatStaysFullComeAgainWithTheNextStart) {
  QueueMachine m(1, small_options(), at_once());
  ASSERT_TRUE(m.start());
  const auto id = m.submit(BlockImport{}, expiring_at(m.world.wall() + seconds(5)))->id;
  m.disk.set_capacity(m.disk.used_bytes());
  while (m.submit(gossip("x", std::string(4'000, 'x')), sync_by("a"))) {
  }
  while (m.take(KindMask::of(Kind::kGossip))) {
    if (m.engine->depth().by_kind[static_cast<std::size_t>(Kind::kGossip)].ready == 0) break;
  }
  m.run_for(seconds(10));
  ASSERT_EQ(m.engine->find(id).state, MessageState::kDead);
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->find(id).state, MessageState::kDead);
  EXPECT_EQ(m.engine->metrics().counters.dead_lettered, 1U);
  m.disk.set_capacity(UINT64_MAX);
  expect_deaths_last(m, id, End::kCut, seconds(20));
  EXPECT_EQ(m.engine->metrics().counters.dead_lettered, 1U);
}

// -- What has expired ------------------------------------------------------------------------------------------

struct Waiting {
  std::optional<bool> got;
  explicit Waiting(QueueMachine& m, Duration time) {
    m.engine->take({KindMask::all(), m.world.mono() + time},
                   [this](Result<std::optional<Taken>> taken) { got = taken && taken->has_value(); });
  }
};

TEST(Expiry, WhatHadExpiredBeforeItsSubmitIsADeadLetterAndNobodyIsHandedIt) {
  for (const auto durability : {Durability::kSync, Durability::kAsync}) {
    QueueMachine m(1);
    ASSERT_TRUE(m.start());
    const Waiting waiting(m, seconds(1));
    auto how = expiring_at(m.world.wall() + -seconds(10));
    how.durability = durability;
    const auto id = m.submit(gossip("expired"), how)->id;
    EXPECT_EQ(m.engine->find(id).state, MessageState::kDead);
    std::vector<Submission> batch(3, {encode(Message(gossip("expired"))).value(), how});
    ASSERT_TRUE(m.answer<std::vector<Submitted>>(
        [&](auto done) { m.engine->submit_batch(std::move(batch), std::move(done)); }));
    m.run_for(seconds(2));
    EXPECT_EQ(waiting.got, false);
    EXPECT_EQ(m.engine->dead_letters({}, 10).size(), 4U);
    expect_deaths_last(m, id, End::kCut, seconds(1));
  }
}

TEST(Expiry, NobodyIsHandedWhatHasExpiredSinceTheLastTick) {
  QueueMachine m(1, small_options(), at_once());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(m.submit(gossip("old"), expiring_at(m.world.wall() + seconds(3600))));
  const auto alive = m.submit(gossip("alive"), sync_by("a"))->id;
  ASSERT_TRUE(m.submit(Telemetry{"old", {}}, expiring_at(m.world.wall() + seconds(3600))));
  m.world.jump_wall(seconds(3600));
  std::vector<std::uint64_t> given;
  m.engine->lease({KindMask::all(), MonoTime{}}, 10, seconds(30), [&](Result<std::vector<Leased>> leased) {
    for (const auto& lease : *leased) given.push_back(lease.message.id.value());
  });
  m.engine->pump();
  EXPECT_EQ(given, std::vector<std::uint64_t>{alive.value()});
  EXPECT_EQ(m.engine->dead_letters({}, 10).size(), 6U);
  EXPECT_EQ(m.engine->metrics().counters.dead_lettered, 6U);
  expect_deaths_last(m, alive, End::kCut, seconds(1));
}

/// Not the first tick after a start sees to it, but the start.
TEST(Expiry, NobodyIsHandedWhatHasExpiredWhileTheQueueWasOff) {
  QueueMachine m(1, small_options(), at_once());
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("old"), expiring_at(m.world.wall() + seconds(5))));
  m.power_cut(1);
  m.world.jump_wall(seconds(10));
  std::optional<bool> got;
  Engine engine(m.disk, m.world, m.rng, m.options, {});
  engine.open([&](Result<RecoveryReport> report) {
    ASSERT_TRUE(report);
    EXPECT_EQ(report->dead_letters, 1U);
    engine.take({KindMask::all(), MonoTime{}},
                [&](Result<std::optional<Taken>> taken) { got = taken && taken->has_value(); });
  });
  for (int i = 0; i < 1000 && !got; ++i) {
    engine.pump();
    m.world.run_one();
  }
  EXPECT_EQ(got, false);
}

TEST(Expiry, OfVeryManyAtOnceTakesManyShortCallsAndThenTheWaiterIsServed) {
  auto options = small_options();
  options.max_depth = 10'000;
  QueueMachine m(1, options, at_once());
  ASSERT_TRUE(m.start());
  const auto how = in_memory_until(m.world.wall() + seconds(3600));
  for (int i = 0; i < 3'500; ++i) ASSERT_TRUE(m.submit(gossip("old"), how));
  ASSERT_TRUE(m.submit(gossip("alive"), sync_by("a")));
  m.world.jump_wall(seconds(3600));
  const Waiting waiting(m, seconds(5));
  EXPECT_FALSE(waiting.got.has_value());
  EXPECT_LE(m.engine->metrics().dead_letters, 1'000U);
  m.run_for(milliseconds(1));
  EXPECT_EQ(waiting.got, true);
  EXPECT_EQ(m.engine->metrics().dead_letters, 3'500U);
}

TEST(Expiry, AHeldSubmitOfWhatHasExpiredIsRefusedAndADeadLetter) {
  QueueMachine m(1);
  ASSERT_TRUE(m.start());
  const auto held = m.answer<Leased>([&](auto done) {
    m.engine->submit_held({encode(Message(gossip("old"))).value(), expiring_at(m.world.wall() + -seconds(1))},
                          std::move(done));
  });
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().subject, "expires_at");
  EXPECT_EQ(m.engine->dead_letters({}, 10).size(), 1U);
}

/// Durable messages that expire one behind the other, from a second on.
void submit_that_expire(QueueMachine& m, int count, Duration apart) {
  std::vector<Submission> batch;
  batch.reserve(static_cast<std::size_t>(count));
  const auto first = m.world.wall() + seconds(1);
  for (int i = 0; i < count; ++i)
    batch.push_back({encode(Message(gossip("s"))).value(), expiring_at(first + apart * i)});
  ASSERT_TRUE(
      m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(std::move(batch), std::move(done)); }));
}

void slow_down(SimDisk& disk, Duration each_write) {
  for (std::uint64_t segment = 1; segment < 20; ++segment) disk.slow_writes(wal::segment_name(segment), each_write);
  disk.slow_writes("mark", each_write);
}

/// Each was a record in front of the mark, which was old again before it was durable, until the stop's deadline.
TEST(AStop, IsNotHeldUpByMessagesThatExpireMeanwhile) {
  for (const auto each_write : {milliseconds(1), milliseconds(10), milliseconds(30), milliseconds(100)}) {
    QueueMachine m(5, small_options(), slow());
    ASSERT_TRUE(m.start());
    submit_that_expire(m, 500, milliseconds(5));
    m.run_for(milliseconds(1'200));
    slow_down(m.disk, each_write);
    const auto began = m.world.mono();
    const auto stopped = m.stop();
    EXPECT_TRUE(stopped) << each_write.count() << " ms: " << stopped.error().to_string();
    EXPECT_LT(m.world.mono() - began, each_write * 10 + seconds(1));
    const auto report = m.start();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->messages + report->dead_letters, 500U);
    EXPECT_EQ(m.engine->metrics().counters.dead_lettered, m.engine->metrics().dead_letters) << "each counts once";
  }
}

TEST(AStop, EndsTheRetriesAtARate) {
  QueueMachine m(5, small_options(), slow());
  ASSERT_TRUE(m.start());
  submit_that_expire(m, 500, Duration(0));
  m.run_for(seconds(2));
  ASSERT_EQ(m.engine->metrics().dead_letters, 500U);
  slow_down(m.disk, milliseconds(10));
  ASSERT_TRUE(m.answer<std::uint64_t>([&](auto done) { m.engine->retry_all_dead(200, std::move(done)); }));
  m.run_for(milliseconds(300));
  const auto began = m.world.mono();
  EXPECT_TRUE(m.stop());
  EXPECT_LT(m.world.mono() - began, seconds(1));
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total() + m.engine->metrics().dead_letters, 500U);
}

}  // namespace
}  // namespace qh::queue
