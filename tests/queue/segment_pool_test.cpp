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

}  // namespace
}  // namespace qh::queue
