// "What must hold" 6, where the disk is full: submits are refused, and takes and acks go through to the last message.
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Options full_options() {
  auto options = limit_options();
  options.segment_bytes_max = 512U << 10;
  return options;
}

int submit_until_refused(QueueMachine& m, Error& last, std::size_t bytes = 1000, std::size_t batch = 1) {
  std::size_t accepted = 0;
  const Submission one{encode(Message(gossip("s", std::string(bytes, 's')))).value(), sync_by("a")};
  for (int refused = 0; refused < 3 && accepted < 100'000;) {
    const auto done = m.answer<std::vector<Submitted>>(
        [&](auto answer) { m.engine->submit_batch(std::vector<Submission>(batch, one), std::move(answer)); });
    if (done)
      accepted += batch;
    else {
      last = done.error();
      ++refused;
    }
  }
  return static_cast<int>(accepted);
}

/// One message out, by a take or by a lease and its ack.
::testing::AssertionResult one_out(QueueMachine& m, bool by_lease) {
  if (!by_lease) {
    auto taken = m.take();
    if (!taken) return ::testing::AssertionFailure() << taken.error().to_string();
    if (!*taken) return ::testing::AssertionFailure() << "there is none";
    return ::testing::AssertionSuccess();
  }
  auto leased = m.lease();
  if (!leased) return ::testing::AssertionFailure() << leased.error().to_string();
  if (leased->size() != 1) return ::testing::AssertionFailure() << "there is none";
  const auto acked = m.ack(leased->at(0).lease);
  if (!acked) return ::testing::AssertionFailure() << acked.error().to_string();
  return ::testing::AssertionSuccess();
}

class DiskFull : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(DiskFull, SubmitsAreRefusedAndTakesGoThroughToTheLast) {
  // All of them in memory would be taken without the log; these are on disk.
  QueueMachine m(7, full_options(), at_once());
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + GetParam());
  Error error;
  int there = submit_until_refused(m, error);
  EXPECT_EQ(error.code, Errc::kStorageFull) << error.to_string();
  EXPECT_EQ(error.os_errno, ENOSPC) << error.to_string();
  EXPECT_NE(error.to_string().find(".wal"), std::string::npos) << error.to_string();
  EXPECT_EQ(m.engine->state(), EngineState::kRunning);
  EXPECT_TRUE(m.engine->metrics().storage_full);
  EXPECT_NE(m.engine->metrics().cannot_grow.find("No space left on device"), std::string::npos);
  // They go through one at a time, each in a block of its own: what they empty is used again.
  for (; there > 0; --there) ASSERT_TRUE(one_out(m, there % 2 == 0)) << there << " left";
  EXPECT_EQ(m.engine->depth().total(), 0U);
  m.disk.set_capacity(UINT64_MAX);
  m.run_for(seconds(3));
  EXPECT_TRUE(m.submit(gossip("back"), sync_by("a"))) << "there is room again";
  EXPECT_FALSE(m.engine->metrics().storage_full);
}

TEST_P(DiskFull, ServiceResumesByItselfWhenThereIsRoom) {
  QueueMachine m(8, full_options(), at_once());
  ASSERT_TRUE(m.start());
  for (int wave = 0; wave < 3; ++wave) {
    m.disk.set_capacity(m.disk.used_bytes() + GetParam());
    Error error;
    submit_until_refused(m, error);
    EXPECT_EQ(error.code, Errc::kStorageFull) << error.to_string();
    m.disk.set_capacity(UINT64_MAX);
    m.run_for(seconds(3));
    ASSERT_TRUE(m.submit(gossip("back"), sync_by("a"))) << "wave " << wave;
  }
}

TEST_P(DiskFull, ARestartWorksAndLosesNothing) {
  QueueMachine m(9, full_options(), at_once());
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + GetParam());
  Error error;
  int there = submit_until_refused(m, error);
  for (int round = 0; round < 6; ++round) {
    m.run_for(milliseconds(200));
    if (round % 3 == 0)
      m.power_cut(static_cast<std::uint64_t>(round));
    else if (round % 3 == 1)
      m.process_kill(static_cast<std::uint64_t>(round));
    else {
      ASSERT_TRUE(m.stop());
    }
    const auto report = m.start();
    ASSERT_TRUE(report) << "round " << round << ": " << report.error().to_string();
    ASSERT_EQ(m.engine->depth().total(), static_cast<std::uint64_t>(there)) << "round " << round;
  }
  for (; there > 0; --there) {
    auto taken = m.take();
    ASSERT_TRUE(taken) << there << " left: " << taken.error().to_string();
    ASSERT_TRUE(taken->has_value());
  }
  m.disk.set_capacity(UINT64_MAX);
  m.run_for(seconds(3));
  EXPECT_TRUE(m.submit(gossip("back"), sync_by("a")));
}

INSTANTIATE_TEST_SUITE_P(WhatMustHold6, DiskFull, ::testing::Values(0, 4096, 100'000, 1U << 20, 5U << 20));

// Messages that stand close, in batches, and what ends them one by one, in a block each: or two, with a lease.
TEST(WhatMustHold6, AFullDiskIsEmptiedWhateverItsMessagesAre) {
  // As much smaller than the real ones as the largest message here is smaller than theirs.
  auto options = limit_options();
  options.segment_bytes_min = 256U << 10;
  options.segment_bytes_max = 1U << 20;
  for (const std::size_t bytes : {10U, 300U, 1500U, 4000U}) {
    for (const std::size_t batch : {1U, 4U, 16U}) {
      if (bytes * batch > 15'000) continue;
      for (const std::uint64_t more : {50'000U, 1'500'000U, 6'000'000U}) {
        for (const bool by_lease : {false, true}) {
          const auto when = fmt::format("{} bytes, {} a batch, {} more on the disk, {}", bytes, batch, more,
                                        by_lease ? "leases" : "takes");
          QueueMachine m(bytes + batch, options, at_once());
          ASSERT_TRUE(m.start());
          m.disk.set_capacity(m.disk.used_bytes() + more);
          Error error;
          int there = submit_until_refused(m, error, bytes, batch);
          EXPECT_EQ(error.code, Errc::kStorageFull) << error.to_string();
          for (; there > 0; --there) ASSERT_TRUE(one_out(m, by_lease)) << when << ": " << there << " left";
        }
      }
    }
  }
}

/// Also while what is there is carried from segment to segment, and when takes have made room.
TEST(WhatMustHold6, AfterARefusalTheFiguresSayWhetherThereIsRoom) {
  auto options = limit_options();
  options.segment_bytes_min = 128U << 10;
  options.segment_bytes_max = 1U << 20;
  int full = 0;
  for (std::uint64_t more = 100'000; more < 5'000'000; more += 25'000) {
    QueueMachine m(more, options, at_once());
    ASSERT_TRUE(m.start());
    m.disk.set_capacity(m.disk.used_bytes() + more);
    const auto submit = [&] { return m.submit(gossip("s", std::string(4'000, 's')), sync_by("a")); };
    int there = 0;
    for (; submit(); ++there) ASSERT_LT(there, 10'000);
    m.run_for(seconds(5));  // nobody asks meanwhile
    const bool said_full = m.engine->metrics().storage_full;
    full += said_full ? 1 : 0;
    EXPECT_TRUE(said_full || submit()) << more << " more on the disk";
    for (const auto warnings = m.warnings.size(); there > 0; --there) {
      ASSERT_TRUE(m.take());
      EXPECT_EQ(m.warnings.size(), warnings) << more << " more: " << m.warnings.back();
    }
    m.disk.set_capacity(UINT64_MAX);
    m.run_for(seconds(3));
    EXPECT_FALSE(m.engine->metrics().storage_full) << "by itself, without a submit";
  }
  EXPECT_GT(full, 100);
}

TEST(WhatMustHold6, ADiskThatIsFullAgainIsWarnedOfAgainAfterAMinute) {
  QueueMachine m(3, full_options(), at_once());
  ASSERT_TRUE(m.start());
  Error error;
  for (const auto& [well_for, warnings] : {std::pair{seconds(0), 1U}, {seconds(10), 1U}, {seconds(120), 2U}}) {
    m.disk.set_capacity(UINT64_MAX);
    m.run_for(well_for);
    m.disk.set_capacity(m.disk.used_bytes() + 100'000);
    submit_until_refused(m, error);
    EXPECT_EQ(m.warnings.size(), warnings) << well_for.count() << " s with room before";
  }
}

/// More than the log has room for at a time.
TEST(WhatMustHold6, AFullDiskCanBePurged) {
  auto options = limit_options();
  options.segment_bytes_min = 256U << 10;
  options.segment_bytes_max = 1U << 20;
  QueueMachine m(1, options, at_once());
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + 3'000'000);
  Error error;
  const int there = submit_until_refused(m, error, 10, 16);
  EXPECT_EQ(error.code, Errc::kStorageFull) << error.to_string();
  const auto purged =
      m.answer<std::uint64_t>([&](auto done) { m.engine->purge(KindMask::all(), Duration(0), std::move(done)); });
  ASSERT_TRUE(purged) << purged.error().to_string();
  EXPECT_EQ(*purged, static_cast<std::uint64_t>(there));
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 0U);
}

}  // namespace
}  // namespace qh::queue
