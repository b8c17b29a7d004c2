// The pool by itself: what it recycles, keeps and gives back, failures, and a power cut at each step of its work.
#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue/segment_pool.h"
#include "sim/sim_machine.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kSmall = 64U << 10;
constexpr std::uint64_t kLarge = 128U << 10;

enum class Then : std::uint8_t { kIsRecycled, kIsRemoved };

/// A pool that makes small segments gets a large one back. False: its work was over before the cut.
bool cut_while_one(Then then, std::uint64_t events, std::uint64_t seed) {
  SimDisk::Options slow;
  slow.inline_share = 0;
  slow.directory_loss = SimDirectory::Loss::kAnySubset;
  SimMachine m(seed, slow);
  const auto old_name = wal::segment_name(1);
  m.durable_file(old_name, kLarge / wal::kBlockBytes, 'x');
  wal::SegmentPool pool(m.disk, m.world, kSmall, {});
  if (then == Then::kIsRemoved) {
    for (std::uint64_t index = 2; index < 2 + wal::SegmentPool::kReadyTarget; ++index) pool.adopt({index, kSmall, {}});
  }
  pool.retire({1, kLarge});
  pool.start(2);
  bool busy = true;
  for (std::uint64_t i = 0; i < events && busy; ++i) busy = m.world.run_one();
  if (!busy && then == Then::kIsRemoved) {
    EXPECT_TRUE(m.disk.names().empty());
  }
  m.power_cycle(seed);
  if (const auto old = m.disk.contents(old_name)) {
    EXPECT_EQ(old->size(), kLarge) << "after " << events << " events, seed " << seed;
  }
  return busy;
}

TEST(WhatMustHold2, ASegmentKeepsItsLengthUntilItsOldNameIsGoneForGood) {
  for (const auto then : {Then::kIsRecycled, Then::kIsRemoved}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      for (std::uint64_t events = 0; cut_while_one(then, events, seed); ++events) ASSERT_LT(events, 1000U);
    }
  }
}

TEST(WhatMustHold6, ASegmentThatHasNoRoomIsNotBegun) {
  SimMachine m(1);
  m.disk.set_capacity(m.disk.used_bytes() + kSmall - 1);
  std::string said;
  wal::SegmentPool pool(m.disk, m.world, kSmall, {.changed = {}, .warn = [&](std::string_view line) { said = line; }});
  pool.start(1);
  for (int i = 0; i < 10; ++i) {
    while (m.world.run_one()) {
    }
    m.world.advance(std::chrono::seconds(1));
    pool.tick();
  }
  EXPECT_EQ(m.disk.count(DiskOp::kZeroFill), 0U) << "the last free bytes are everybody's";
  EXPECT_EQ(m.disk.count(DiskOp::kOpen), 0U);
  EXPECT_NE(said.find("make 00000001.wal: it takes 65536 bytes, 65535 are free"), said.npos) << said;
  m.disk.set_capacity(UINT64_MAX);
  m.world.advance(std::chrono::seconds(1));
  pool.tick();
  while (m.world.run_one()) {
  }
  EXPECT_EQ(pool.ready().size(), wal::SegmentPool::kReadyTarget) << "there is room again";
}

// -- Recycling ---------------------------------------------------------------------------------------------------

/// A pool on a disk without latency, with two small segments ready.
struct Pool {
  /// `self`: where the hooks find the pool.
  explicit Pool(wal::SegmentPool::Hooks hooks = {}, wal::SegmentPool** self = nullptr)
      : pool(m.disk, m.world, kSmall, std::move(hooks)) {
    if (self != nullptr) *self = &pool;
    pool.start(1);
    settle();
  }
  void settle() {
    while (m.world.run_one()) {
    }
  }
  void second_passes() {
    m.world.advance(std::chrono::seconds(1));
    pool.tick();
    settle();
  }
  std::uint64_t made() { return m.disk.count(DiskOp::kZeroFill); }

  SimMachine m{1};
  wal::SegmentPool pool;
};

TEST(SegmentPool, WhileAnOldSegmentIsExpectedNoNewOneIsMade) {
  Pool p;
  ASSERT_EQ(p.pool.ready().size(), 2U);
  const auto made = p.made();
  const auto used = p.pool.take();
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 1U);
  p.pool.retire({used->index, used->bytes});
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 2U);
  EXPECT_EQ(p.pool.recycled(), 1U);
  EXPECT_EQ(p.made(), made);
  EXPECT_EQ(p.pool.ready().back().index, 3U);
}

TEST(SegmentPool, ANewOneIsMadeWhereNoneIsExpectedOrTheLastIsTaken) {
  Pool p;
  ASSERT_TRUE(p.pool.take());
  p.pool.expect_retired(false);
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 2U);
  ASSERT_TRUE(p.pool.take());
  ASSERT_TRUE(p.pool.take());
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 1U);
  EXPECT_EQ(p.pool.recycled(), 0U);
}

TEST(SegmentPool, ASpareIsKeptWithinTheBoundAndUsedFirst) {
  Pool p;
  p.pool.may_hold(3 * kSmall);
  auto used = p.pool.take();
  p.pool.expect_retired(false);
  p.settle();
  p.pool.retire({used->index, used->bytes});
  p.settle();
  EXPECT_EQ(p.pool.disk_bytes(), 3 * kSmall);
  EXPECT_TRUE(p.pool.idle());
  used = p.pool.take();
  p.settle();
  EXPECT_EQ(p.pool.recycled(), 1U);
  p.pool.retire({used->index, used->bytes});
  p.settle();
  EXPECT_TRUE(p.m.disk.contents(wal::segment_name(used->index)));
  p.pool.may_hold(2 * kSmall);
  p.settle();
  EXPECT_FALSE(p.m.disk.contents(wal::segment_name(used->index))) << "the bound has come down";
}

TEST(SegmentPool, ARecycledFileGrowsToTwiceItsLengthOrToWhatIsNeeded) {
  for (const std::uint64_t needed : {kSmall, 6 * kSmall}) {
    Pool p;
    p.pool.want_bytes(8 * kSmall);
    p.pool.want_at_least(needed);
    const auto used = p.pool.take();
    p.pool.retire({used->index, used->bytes});
    p.settle();
    EXPECT_EQ(p.pool.recycled(), 1U);
    EXPECT_EQ(p.pool.ready().back().bytes, std::max(2 * kSmall, needed));
  }
}

TEST(SegmentPool, WhatWasMadeForSomebodyWhoWaitedIsGivenBack) {
  Pool p;
  p.pool.want_one_more();
  p.settle();
  p.pool.want_one_more();
  p.settle();
  ASSERT_EQ(p.pool.ready().size(), 4U);
  p.pool.may_hold(3 * kSmall);
  p.pool.give_back();
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 3U) << "as far as the bound asks for it";
  p.pool.may_hold(0);
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 2U);
  ASSERT_TRUE(p.pool.take());
  p.pool.expect_retired(false);
  p.settle();
  EXPECT_EQ(p.pool.ready().back().index, 3U) << "the numbers follow each other";
}

/// A remove that fails may have had its effect: the next start would not find what was written into the file then.
TEST(SegmentPool, NothingIsWrittenIntoAFileWhoseRemoveHasFailed) {
  Pool p;
  p.pool.want_one_more();
  p.settle();
  ASSERT_EQ(p.pool.ready().size(), 3U);
  p.m.disk.faults().plan({.ops = only(DiskOp::kRemove), .nth = 1, .os_errno = EIO});
  p.pool.give_back();
  p.settle();
  EXPECT_EQ(p.pool.ready().size(), 2U);
  p.second_passes();
  p.pool.want_one_more();
  p.settle();
  ASSERT_EQ(p.pool.ready().size(), 3U);
  EXPECT_EQ(p.pool.ready().back().index, 3U) << "the numbers follow each other";
  EXPECT_EQ(p.made(), 4U) << "made anew";
}

/// Where the disk has no room for what is alive in the fullest segment, what it has is better than none.
TEST(SegmentPool, OnANearlyFullDiskANewSegmentHasWhatThereIs) {
  SimMachine m(1);
  m.disk.set_capacity(m.disk.used_bytes() + 4 * kLarge);
  wal::SegmentPool pool(m.disk, m.world, kSmall, {.changed = {}, .warn = [](std::string_view) {}, .broken = {}});
  pool.want_bytes(5 * kLarge);
  pool.want_at_least(5 * kLarge);
  pool.start(1);
  while (m.world.run_one()) {
  }
  ASSERT_FALSE(pool.ready().empty());
  EXPECT_GT(pool.ready()[0].bytes, 3 * kLarge);
  EXPECT_LT(pool.ready()[0].bytes, 4 * kLarge) << "a file system needs some for itself";
}

// -- Failures ----------------------------------------------------------------------------------------------------

TEST(SegmentPool, ADirectoryThatIsNotThereAnyMoreIsSaidToBePutBack) {
  std::string said;
  Pool p({.warn = [&](std::string_view line) { said = line; }});
  p.m.disk.faults().plan({.ops = only(DiskOp::kOpen), .nth = 1, .os_errno = ENOENT});
  p.pool.want_one_more();
  p.settle();
  EXPECT_NE(said.find("put it back (mount the disk again)"), said.npos) << said;
}

TEST(SegmentPool, WithTheFirstSegmentThatIsMadeAgainTheFailureIsOver) {
  Pool* of = nullptr;
  std::vector<std::pair<std::size_t, bool>> told;
  Pool p({.changed = [&] {
    if (of != nullptr) told.emplace_back(of->pool.ready().size(), of->pool.failure().has_value());
  }});
  p.m.disk.set_capacity(p.m.disk.used_bytes());
  ASSERT_TRUE(p.pool.take());
  ASSERT_TRUE(p.pool.take());
  p.settle();
  ASSERT_TRUE(p.pool.failure());
  p.m.disk.set_capacity(UINT64_MAX);
  p.pool.expect_retired(false);
  of = &p;
  p.second_passes();
  ASSERT_EQ(p.pool.ready().size(), 2U);
  // Whoever waits is told at once; as long as there is a failure he is refused.
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front(), std::pair(std::size_t{1}, false));
}

TEST(SegmentPool, AfterAFailedSyncOfTheDirectoryNothingIsDoneAnyMore) {
  std::vector<Error> broken;
  Pool p({.broken = [&](const Error& error) { broken.push_back(error); }});
  p.m.disk.faults().plan({.ops = only(DiskOp::kSyncDirectory), .nth = 1, .os_errno = EIO});
  ASSERT_TRUE(p.pool.take());
  ASSERT_TRUE(p.pool.take());
  p.settle();
  ASSERT_EQ(broken.size(), 1U);
  EXPECT_EQ(broken[0].os_errno, EIO);
  const auto renamed = p.m.disk.count(DiskOp::kRename);
  for (int i = 0; i < 5; ++i) p.second_passes();
  p.pool.want_one_more();
  p.settle();
  EXPECT_TRUE(p.pool.ready().empty());
  EXPECT_EQ(p.m.disk.count(DiskOp::kRename), renamed);
  EXPECT_EQ(broken.size(), 1U);
}

/// On a full disk, where it cannot be made longer: what it frees helps to make a segment of the next one.
TEST(SegmentPool, AFileTooShortForABatchIsRemoved) {
  SimMachine m(1);
  const auto bytes = wal::kSegmentBytesLeast - wal::kBlockBytes;
  for (const std::uint64_t index : {1U, 2U})
    m.disk.close(m.durable_file(wal::segment_name(index), bytes / wal::kBlockBytes, 'x'));
  m.disk.set_capacity(m.disk.used_bytes() + kSmall - 2 * bytes);
  wal::SegmentPool pool(m.disk, m.world, kSmall, {});
  for (const std::uint64_t index : {1U, 2U}) pool.retire({index, bytes});
  pool.start(3);
  while (m.world.run_one()) {
  }
  ASSERT_EQ(pool.ready().size(), 1U);
  EXPECT_EQ(pool.ready().front().bytes, kSmall);
  EXPECT_EQ(pool.recycled(), 1U);
  EXPECT_EQ(m.disk.names(), std::vector<std::string>{wal::segment_name(3)});
}

/// A retired segment that is too small for the log's largest record, a full disk, and a remove that fails.
TEST(SegmentPool, ARemoveThatFailsIsNotTriedAgainAtOnce) {
  for (const double inline_share : {0.0, 1.0}) {
    SimDisk::Options how;
    how.inline_share = inline_share;
    SimMachine m(1, how);
    m.durable_file(wal::segment_name(1), kSmall / wal::kBlockBytes, 'x');
    m.disk.set_capacity(m.disk.used_bytes() + 1'000);
    m.disk.faults().plan({.ops = only(DiskOp::kRemove), .nth = 1, .os_errno = EIO, .lasting = true});
    wal::SegmentPool pool(m.disk, m.world, kLarge, {.changed = {}, .warn = [](std::string_view) {}, .broken = {}});
    pool.want_to_fit(kLarge);
    m.disk.freeze_after(m.disk.operations() + 10'000);  // or it would never come back
    pool.retire({1, kSmall});
    pool.start(2);
    const auto end = m.world.mono() + std::chrono::milliseconds(900);
    for (int i = 0; i < 10'000 && m.world.mono() < end && m.world.run_one(); ++i) {
    }
    EXPECT_LT(m.disk.count(DiskOp::kRemove), 10U) << "inline " << inline_share;
  }
}

/// A stop that is called in the answer to somebody whom the failure has refused.
TEST(SegmentPool, WhatIsAskedForWhileAFailureIsToldIsTriedAgain) {
  int told = 0;
  wal::SegmentPool* asked = nullptr;
  Pool p({.changed =
              [&] {
                if (asked->failure() && ++told == 1) asked->try_again();
              },
          .warn = [](std::string_view) {},
          .broken = {}},
         &asked);
  p.m.disk.close(p.m.durable_file(wal::segment_name(9), kSmall / wal::kBlockBytes, 'x'));
  for (const auto op : {DiskOp::kRename, DiskOp::kRemove})
    p.m.disk.faults().plan({.ops = only(op), .nth = 1, .os_errno = EIO});
  p.pool.retire({9, kSmall});
  p.settle();
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(p.pool.failure());
  EXPECT_FALSE(p.m.disk.contents(wal::segment_name(9))) << "nobody would come back to it";
}

/// Under its other name a file can neither be opened nor removed while that lasts.
TEST(SegmentPool, WhatCannotBeRemovedCountsIsSaidAndGoesLater) {
  std::vector<std::string> said;
  Pool p({.changed = {}, .warn = [&](std::string_view line) { said.emplace_back(line); }, .broken = {}});
  p.m.disk.close(p.m.durable_file(wal::segment_name(9), kSmall / wal::kBlockBytes, 'x'));
  p.m.disk.faults().plan({.ops = only(DiskOp::kOpen), .nth = 1, .os_errno = EMFILE, .lasting = true});
  p.m.disk.faults().plan({.ops = only(DiskOp::kRemove), .nth = 1, .os_errno = EIO, .lasting = true});
  p.pool.retire({9, kSmall});
  p.settle();
  const auto other_name = wal::segment_name(9) + std::string(wal::kRemovingSuffix);
  EXPECT_TRUE(p.m.disk.contents(other_name));
  EXPECT_EQ(p.pool.disk_bytes(), 3 * kSmall);
  EXPECT_FALSE(p.pool.failure()) << "the log can grow";
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("cannot remove an old log segment, trying again later: "), said[0].npos) << said[0];
  p.m.disk.faults().clear();
  ASSERT_TRUE(p.pool.take());
  p.settle();
  EXPECT_FALSE(p.m.disk.contents(other_name));
  EXPECT_EQ(said.size(), 1U);
}

}  // namespace
}  // namespace qh::queue
