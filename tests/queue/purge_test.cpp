// A purge of very many goes in several batches: what happens between them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// More than go in one batch.
constexpr std::size_t kMany = 15'000;

void submit_many(QueueMachine& m, std::size_t count, std::size_t bytes = 1) {
  std::size_t done = 0;
  for (std::size_t i = 1; i <= count; ++i) {
    m.engine->submit({encode(Message(gossip("s", std::string(bytes, 's')))).value(), sync_by("a")},
                     [&](Result<Submitted> stored) { done += stored.has_value(); });
    if (i % 500 == 0 || i == count) {
      ASSERT_TRUE(m.run_until([&] { return done == i; }));
    }
  }
}

/// All of them; answers the newest.
MessageId nack_all(QueueMachine& m) {
  MessageId newest;
  while (m.engine->depth().total() > 0) {
    const auto leased = m.lease(500);
    std::vector<LeaseId> leases;
    for (const auto& one : leased.value()) {
      leases.push_back(one.lease);
      newest = std::max(newest, one.message.id);
    }
    const auto done =
        m.answer<LeaseOutcome>([&](auto answer) { m.engine->nack(leases, Duration(0), "no", std::move(answer)); });
    EXPECT_TRUE(done);
  }
  return newest;
}

TEST(Purge, OfOldDeadLettersLeavesOneThatDiedBetweenItsBatches) {
  auto options = limit_options();
  options.max_deliveries = 1;
  SimDisk::Options slow;
  slow.inline_share = 0;
  slow.stall_one_in = 0;
  QueueMachine m(1, options, slow);
  ASSERT_TRUE(m.start());
  submit_many(m, kMany);
  const auto newest = nack_all(m);
  m.run_for(seconds(100));
  std::optional<std::uint64_t> purged;
  m.engine->purge_dead_older(seconds(30), [&](Result<std::uint64_t> count) { purged = count.value(); });
  m.engine->retry_dead(newest, [](auto) {});
  std::optional<LeaseId> lease;
  m.engine->lease({KindMask::all(), MonoTime{}}, 1, seconds(30),
                  [&](Result<std::vector<Leased>> leased) { lease = leased.value().at(0).lease; });
  ASSERT_TRUE(m.run_until([&] { return lease.has_value(); }));
  ASSERT_FALSE(purged) << "it died again before the purge came to it";
  EXPECT_TRUE(m.nack(*lease, Duration(0), "again"));
  ASSERT_TRUE(m.run_until([&] { return purged.has_value(); }));
  EXPECT_EQ(*purged, kMany - 1);
  EXPECT_EQ(m.engine->find(newest).state, MessageState::kDead);
}

TEST(Purge, ThatAStopCutsShortSaysHowManyAreGone) {
  QueueMachine m(1);
  ASSERT_TRUE(m.start());
  submit_many(m, 3 * kMany);
  std::optional<Result<std::uint64_t>> purged;
  m.engine->purge(KindMask::all(), Duration(0), [&](auto result) { purged = std::move(result); });
  ASSERT_TRUE(m.run_until([&] { return m.engine->depth().total() < 3 * kMany; }));
  std::optional<Result<void>> stopped;
  m.engine->stop([&](auto result) { stopped = std::move(result); });
  ASSERT_TRUE(m.run_until([&] { return purged && stopped; }));
  ASSERT_FALSE(*purged);
  EXPECT_EQ(purged->error().code, Errc::kShuttingDown);
  const auto left = m.engine->depth().total();
  EXPECT_EQ(purged->error().to_string(),
            fmt::format("purge: {} are gone, the others may be: the queue is shutting down", 3 * kMany - left));
}

TEST(Purge, GoesThroughWhereItFindsOutThatTheDiskIsFull) {
  for (const std::uint64_t segment : {64U << 10, 128U << 10}) {
    for (const std::uint64_t more : {0U, 60'000U}) {
      auto options = limit_options();
      options.segment_bytes_min = options.segment_bytes_max = segment;
      QueueMachine m(1, options, at_once());
      ASSERT_TRUE(m.start());
      submit_many(m, 2 * kMany, 20);
      m.run_for(seconds(400));
      m.disk.set_capacity(m.disk.used_bytes() + more);
      const auto purged =
          m.answer<std::uint64_t>([&](auto done) { m.engine->purge(KindMask::all(), Duration(0), std::move(done)); });
      ASSERT_TRUE(purged) << segment << ", " << more << ": " << purged.error().to_string();
      EXPECT_EQ(*purged, 2 * kMany);
    }
  }
}

// -- Nacks, which wait for room as well -----------------------------------------------------------------------------

TEST(Nack, KeepsItsTextHoweverManyWaitForRoomOnADiskThatHasIt) {
  auto options = limit_options();
  options.max_waiters = 1'000;
  options.max_deliveries = 1'000;
  SimDisk::Options slow;
  slow.inline_share = 0;
  QueueMachine m(3, options, slow);
  ASSERT_TRUE(m.start());
  submit_many(m, 3'000);
  std::vector<LeaseId> leases;
  while (leases.size() < 3'000) {
    const auto leased = m.lease(1'000, seconds(600));
    ASSERT_TRUE(leased);
    for (const auto& one : *leased) leases.push_back(one.lease);
  }
  std::uint64_t done = 0, refused = 0;
  for (const auto lease : leases) {
    m.engine->nack({lease}, seconds(10), std::string(1'000, 'e'),
                   [&](Result<LeaseOutcome> outcome) { ++(outcome ? done : refused); });
  }
  ASSERT_TRUE(m.run_until([&] { return done + refused == leases.size(); }));
  EXPECT_GT(refused, 0U) << "too many waited";
  m.process_kill(1);
  m.options.max_deliveries = 1;  // so that the texts can be seen
  ASSERT_TRUE(m.start());
  std::uint64_t with_text = 0;
  for (const auto& letter : m.engine->dead_letters({}, 10'000)) with_text += letter.last_error.size() == 1'000;
  EXPECT_EQ(with_text, done);
}

}  // namespace
}  // namespace qh::queue
