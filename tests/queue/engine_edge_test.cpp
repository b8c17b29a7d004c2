// Corners of the engine's contract that a review found uncovered.
#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue/log_scan.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<Submission> batch_of(std::size_t count, const Message& message, SubmitOptions how = sync_by("a")) {
  return std::vector<Submission>(count, Submission{encode(message).value(), std::move(how)});
}

std::uint64_t highest_id(const Engine& engine) {
  std::uint64_t highest = 0;
  engine.each([&](const Found& found) { highest = std::max(highest, found.message->id.value()); });
  return highest;
}

/// More ids than a block holds are given before its reservation is durable, and the power goes in the midst of it.
/// False: the work was over before.
bool cut_amid_many_ids(std::size_t events) {
  SimDisk::Options disk;
  disk.inline_share = 0;
  QueueMachine m(5, small_options(), disk);
  EXPECT_TRUE(m.start());
  std::size_t answered = 0;
  constexpr std::size_t kBatches = 8;
  for (std::size_t i = 0; i < kBatches; ++i) {
    m.engine->submit_batch(batch_of(700, Telemetry{"s", to_bytes("0")}),
                           [&](Result<std::vector<Submitted>> done) { answered += done.has_value(); });
  }
  for (std::size_t i = 0; i < events && answered < kBatches; ++i) m.step();
  const bool busy = answered < kBatches;
  m.process_kill(events);
  EXPECT_TRUE(m.start());
  const auto highest = highest_id(*m.engine);
  // Without the puts the next start knows of their ids by the states alone.
  EXPECT_TRUE(
      m.answer<std::uint64_t>([&](auto done) { m.engine->purge(KindMask::all(), Duration(0), std::move(done)); }));
  EXPECT_TRUE(m.answer<void>([&](auto done) { m.engine->compact_wal(std::move(done)); }));
  m.power_cut(events);
  const auto again = m.start();
  EXPECT_TRUE(again) << again.error().to_string();
  const auto next = m.submit(gossip("next"), sync_by("a"));
  EXPECT_TRUE(next && next->id.value() > highest) << "after " << events << " events: " << highest;
  return busy;
}

TEST(WhatMustHold1, IdsNeverRepeatThoughTheyRanAheadOfTheirBlocks) {
  for (std::size_t events = 0; cut_amid_many_ids(events); ++events) ASSERT_LT(events, 2000U);
}

TEST(Engine, WhatExpiresAfterTheEndOfTheClockDoesNotExpireNow) {
  QueueMachine m(1);
  ASSERT_TRUE(m.start());
  for (const auto at :
       {std::uint64_t{12'000'000'000}, std::uint64_t{1'800'000'000'000}, (std::uint64_t{1} << 53) - 1}) {
    Transaction transaction;
    transaction.expires_at = at;
    const auto done = m.submit(transaction);
    ASSERT_TRUE(done);
    m.run_for(seconds(2));
    EXPECT_EQ(m.engine->find(done->id).state, MessageState::kReady) << at;
  }
}

TEST(WhatMustHold6, PauseAndResumeOnAFullDiskUseUpNothingThatOthersNeed) {
  QueueMachine m(2, limit_options(), at_once());
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + 300'000);
  std::size_t there = 0;
  while (m.submit(gossip("s", std::string(1000, 's')), sync_by("a"))) ++there;
  for (int i = 0; i < 2000; ++i) {
    const auto mask = KindMask::of(Kind::kTelemetry);
    static_cast<void>(m.answer<KindMask>([&](auto done) {
      if (i % 2 == 0)
        m.engine->pause(mask, std::move(done));
      else
        m.engine->resume(mask, std::move(done));
    }));
  }
  m.process_kill(1);
  ASSERT_TRUE(m.start());
  for (; there > 0; --there) {
    const auto taken = m.take();
    ASSERT_TRUE(taken) << there << " left: " << taken.error().to_string();
    ASSERT_TRUE(taken->has_value());
  }
}

TEST(WhatMustHold3, ASalvageKeepsWhatIsLeftOfABatchThatWasAcknowledged) {
  QueueMachine m(3, small_options(), at_once());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(m.answer<std::vector<Submitted>>([&](auto done) {
      m.engine->submit_batch(batch_of(10, gossip("b", std::string(2500, 'b'))), std::move(done));
    }));
  }
  m.process_kill(1);
  const auto name = wal::segment_name(1);
  const auto file = *m.disk.contents(name);
  const auto header = wal::decode_header(ByteView(file).first(wal::kBlockBytes)).value().value();
  std::uint64_t puts = 0;
  wal::RecordVisitor count = [&](const wal::RecordView& record, std::uint64_t) {
    puts += record.type == wal::RecordType::kPut;
  };
  wal::scan_segment(file, header.life, wal::kBlockBytes, header.first_seq, count);
  ASSERT_NE(puts % 10, 0U) << "a batch must stand across the end of the segment";
  m.disk.erase(wal::segment_name(2));
  const auto report = m.start(true);
  ASSERT_TRUE(report) << report.error().to_string();
  std::uint64_t from_the_first = 0;
  m.engine->each([&](const Found& found) { from_the_first += found.message->id.value() <= puts; });
  EXPECT_EQ(from_the_first, puts);
}

/// A queue on a slow disk, with nothing ready of its log that answers to leases have not filled.
class WithoutRoom : public ::testing::Test {
 protected:
  static SimDisk::Options slow() {
    SimDisk::Options disk;
    disk.inline_share = 0;
    return disk;
  }

  /// A take that finds nothing has to wait for room; `answered` is told when it is over.
  template <class Answered>
  Engine::WaitId park_a_take(Answered answered) {
    EXPECT_TRUE(m.start());
    for (int i = 0; i < 500; ++i) EXPECT_TRUE(m.submit(gossip("s"), sync_by("a")));
    const auto leased = m.lease(500);
    EXPECT_EQ(leased->size(), 500U);
    // The disk does nothing meanwhile.
    for (std::size_t i = 0; i < 50'000; ++i) {
      const auto& lease = leased->at(i % leased->size());
      m.engine->hold({lease.lease}, [](auto) {});
      auto at_once = std::make_shared<bool>(true);
      bool over = false;
      const auto id = m.engine->take({KindMask::of(Kind::kVote), MonoTime{}},
                                     [&over, at_once, answered](Result<std::optional<Taken>> got) {
                                       if (*at_once)
                                         over = true;
                                       else
                                         answered(std::move(got));
                                     });
      *at_once = false;
      if (!over) return id;
    }
    return 0;
  }

  QueueMachine m{4, limit_options(), slow()};
};

TEST_F(WithoutRoom, ATakeThatWaitsForItCanBeCancelled) {
  std::optional<bool> given;
  const auto parked = park_a_take([&](Result<std::optional<Taken>> got) { given = got.has_value(); });
  ASSERT_NE(parked, 0U) << "no take ever had to wait";
  m.engine->cancel(parked);
  EXPECT_EQ(given, false);
}

TEST_F(WithoutRoom, WhatWasAskedLastIsPausedThoughTheCallBeforeHadToWait) {
  const auto kind = KindMask::of(Kind::kTelemetry);
  std::string answers;
  const auto parked = park_a_take([&](auto) {
    m.engine->resume(kind, [&](Result<KindMask> paused) { answers += paused->empty() ? "resumed" : "?"; });
  });
  ASSERT_NE(parked, 0U) << "no take ever had to wait";
  m.engine->pause(kind, [&](Result<KindMask> paused) { answers += paused->has(Kind::kTelemetry) ? "paused " : "?"; });
  EXPECT_EQ(answers, "");
  m.run_for(seconds(20));
  EXPECT_EQ(answers, "paused resumed");
  EXPECT_TRUE(m.engine->paused().empty());
}

TEST(Engine, TheKeyOfAMessageThatWasOnlyInMemoryOutlivesItAndAStop) {
  QueueMachine m(5);
  ASSERT_TRUE(m.start());
  SubmitOptions how;
  how.idempotency_key = "k";
  const auto first = m.submit(gossip("once"), how);
  ASSERT_TRUE(m.take()->has_value());
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start());
  const auto again = m.submit(gossip("once"), how);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->id, first->id);
}

TEST(Engine, ARepeatIsAnsweredThoughNothingMoreMayComeIn) {
  auto options = limit_options();
  options.max_depth = 20;
  QueueMachine m(6, options, at_once());
  ASSERT_TRUE(m.start());
  std::vector<Submission> keyed;
  for (int i = 0; i < 15; ++i) {
    auto how = sync_by("a");
    how.idempotency_key = std::to_string(i);
    keyed.push_back({encode(Message(Vote{"v", {}, {}, {}})).value(), how});
  }
  const auto submit = [&] {
    return m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(keyed, std::move(done)); });
  };
  ASSERT_TRUE(submit());
  const auto again = submit();
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_TRUE(again->at(14).duplicate);
  // The same on a full disk.
  m.disk.set_capacity(m.disk.used_bytes());
  std::vector<Submission> last(1, keyed[0]);
  const auto single = m.answer<Submitted>([&](auto done) { m.engine->submit(std::move(last[0]), std::move(done)); });
  ASSERT_TRUE(single) << single.error().to_string();
  EXPECT_TRUE(single->persisted);
}

TEST(Engine, APurgeOfAllTakesWhatTheClockPutsIntoTheFutureToo) {
  QueueMachine m(7);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("s"), sync_by("a")));
  m.world.jump_wall(-std::chrono::hours(1));
  const auto purged =
      m.answer<std::uint64_t>([&](auto done) { m.engine->purge(KindMask::all(), Duration(0), std::move(done)); });
  EXPECT_EQ(purged.value(), 1U);
}

TEST(Engine, ABatchOfLeasesEndsAtItsBytes) {
  QueueMachine m(8);  // 32 KiB a batch
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(m.submit(gossip("s", std::string(7000, 's')), sync_by("a")));
  EXPECT_EQ(m.lease(10)->size(), 5U);
  EXPECT_EQ(m.lease(10)->size(), 5U);
}

TEST(Engine, ARateThatIsNoNumberIsRefused) {
  Options options;
  ASSERT_TRUE(options.check());
  options.queue_rate_limit = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(options.check().error().subject, "queue_rate_limit");
  options.queue_rate_limit = 0;
  options.submitter_rate_burst = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(options.check().error().subject, "submitter_rate_limit");
}

TEST(Engine, ARetryAtARateThatIsNextToNothingIsRefused) {
  QueueMachine m(9);
  ASSERT_TRUE(m.start());
  const auto retried = m.answer<std::uint64_t>([&](auto done) { m.engine->retry_all_dead(1e-10, std::move(done)); });
  ASSERT_FALSE(retried);
  EXPECT_EQ(retried.error().subject, "rate");
}

/// For what shows it as a time: an age moves with the clock.
TEST(Engine, WhenTheOldestReadyMessageWasSubmittedDoesNotMoveWithTheClock) {
  QueueMachine m(9);
  ASSERT_TRUE(m.start());
  EXPECT_FALSE(m.engine->metrics().oldest_ready_at);
  ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  m.run_for(seconds(5));
  ASSERT_TRUE(m.submit(Telemetry{"s", to_bytes("0")}, sync_by("a")));
  std::vector<WallTime> submitted;
  m.engine->each([&](const Found& found) { submitted.push_back(found.message->created_at); });
  std::ranges::sort(submitted);
  ASSERT_EQ(submitted.size(), 2U);
  ASSERT_GE(submitted[1] - submitted[0], seconds(5));
  for (const auto jump : {seconds(0), seconds(1'000), seconds(-3'000)}) {
    m.world.jump_wall(jump);
    EXPECT_EQ(m.engine->metrics().oldest_ready_at, submitted[0]);
  }
  ASSERT_TRUE(m.take());
  EXPECT_EQ(m.engine->metrics().oldest_ready_at, submitted[1]);
}

/// One unit, whether messages come one by one or together.
TEST(Engine, RefusalsCountMessagesAsSubmitsDo) {
  auto options = small_options();
  options.max_depth = 50;
  QueueMachine m(18, options);
  ASSERT_TRUE(m.start());
  const auto batch = [&](std::size_t count, std::size_t last_bytes = 1) {
    std::vector<Submission> all;
    for (std::size_t i = 0; i < count; ++i) {
      auto how = sync_by("a");
      how.idempotency_key = fmt::format("{}/{}", count, i);
      all.push_back({encode(gossip("x", std::string(i + 1 == count ? last_bytes : 1, 'x'))).value(), how});
    }
    return m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(all, std::move(done)); });
  };
  const auto refused_percent = [&] {
    const auto parts = m.engine->metrics().health_parts;
    return std::ranges::find(parts, "refused_percent", &HealthPart::name)->value;
  };
  ASSERT_TRUE(batch(20));
  EXPECT_EQ(refused_percent(), 0);
  ASSERT_FALSE(batch(40));
  EXPECT_EQ(m.engine->metrics().refusals.queue_full, 40U);
  EXPECT_NEAR(refused_percent(), 100.0 * 40 / 60, 1e-9);
  ASSERT_FALSE(batch(5, options.max_message_bytes + 1));
  EXPECT_EQ(m.engine->metrics().refusals.too_large, 5U);
  EXPECT_EQ(m.engine->metrics().refusals.total(), 45U);
  ASSERT_TRUE(batch(20)) << "repeats are answered";
  EXPECT_NEAR(refused_percent(), 100.0 * 45 / 85, 1e-9);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  ASSERT_FALSE(m.submit(gossip("x"), sync_by("a")));
  EXPECT_EQ(m.engine->metrics().refusals.queue_full, 41U);
  ASSERT_TRUE(m.answer<void>([&](auto done) { m.engine->stop(std::move(done)); }));
  ASSERT_FALSE(batch(7));
  EXPECT_EQ(m.engine->metrics().refusals.shutting_down, 7U);
}

TEST(Engine, ARefusedRateCountsEachMessageOfABatch) {
  auto options = small_options();
  options.queue_rate_limit = 1;
  options.queue_rate_burst = 10;
  QueueMachine m(19, options);
  ASSERT_TRUE(m.start());
  const std::vector<Submission> batch(10, {encode(gossip("x")).value(), sync_by("a")});
  const auto submit = [&] {
    return m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(batch, std::move(done)); });
  };
  ASSERT_TRUE(submit());
  ASSERT_FALSE(submit());
  EXPECT_EQ(m.engine->metrics().refusals.rate_limited, 10U);
}

}  // namespace
}  // namespace qh::queue
