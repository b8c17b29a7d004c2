// A power cut at each step of the pool's work: what a log may still name is as long as it was.
#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue/segment_pool.h"
#include "sim/sim_machine.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kSmall = 64U << 10;
constexpr std::uint64_t kLarge = 128U << 10;

/// A pool that makes small segments gets a large one back. False: its work was over before the cut.
bool cut_a_recycling(std::uint64_t events, std::uint64_t seed) {
  SimDisk::Options slow;
  slow.inline_share = 0;
  slow.directory_loss = SimDirectory::Loss::kAnySubset;
  SimMachine m(seed, slow);
  const auto old_name = wal::segment_name(1);
  m.durable_file(old_name, kLarge / wal::kBlockBytes, 'x');
  wal::SegmentPool pool(m.disk, m.world, kSmall, {});
  pool.retire({1, kLarge});
  pool.start(2);
  bool busy = true;
  for (std::uint64_t i = 0; i < events && busy; ++i) busy = m.world.run_one();
  m.power_cycle(seed);
  if (const auto old = m.disk.contents(old_name)) {
    EXPECT_EQ(old->size(), kLarge) << "after " << events << " events, seed " << seed;
  }
  return busy;
}

TEST(WhatMustHold2, ASegmentKeepsItsLengthUntilItsOldNameIsGoneForGood) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (std::uint64_t events = 0; cut_a_recycling(events, seed); ++events) ASSERT_LT(events, 1000U);
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

}  // namespace
}  // namespace qh::queue
