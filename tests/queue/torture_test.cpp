// "What must hold" 2, and 6 in part: thousands of seeds on a disk that tears, reorders, loses, fails and fills up.
//
// QH_SEED=n runs one seed; QH_SEEDS=n runs as many from 1 on.
#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>

#include "torture.h"

namespace qh::queue {
namespace {

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A broken invariant ends the process: the seed must be known even so.
volatile std::uint64_t current_seed = 0;
void say_seed(int) {
  std::fprintf(stderr, "seed: QH_SEED=%llu\n", static_cast<unsigned long long>(current_seed));
  std::signal(SIGABRT, SIG_DFL);
}

void run(const char* test, const TortureOptions& options, std::uint64_t seeds) {
  std::signal(SIGABRT, say_seed);
  const auto one = number("QH_SEED", 0);
  const auto count = one != 0 ? 1 : number("QH_SEEDS", seeds);
  TortureResult sum;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const auto seed = one != 0 ? one : i;
    current_seed = seed;
    const auto result = torture(seed, options);
    ASSERT_EQ(result.failure, "") << "replay: QH_SEED=" << seed
                                  << " build/release/tests/test_queue_torture --gtest_filter=" << test;
    sum.submits += result.submits;
    sum.hand_outs += result.hand_outs;
    sum.recycled += result.recycled;
    sum.files += result.files;
    sum.torn += result.torn;
    sum.failed_lives += result.failed_lives;
    sum.early_retries += result.early_retries;
    sum.repeats_of_dead += result.repeats_of_dead;
    sum.cut_deaths += result.cut_deaths;
  }
  std::printf(
      "%s: %llu seeds: %llu submits, %llu hand-outs, %llu segments recycled, %llu torn tails, %llu failed lives\n",
      test, static_cast<unsigned long long>(count), static_cast<unsigned long long>(sum.submits),
      static_cast<unsigned long long>(sum.hand_outs), static_cast<unsigned long long>(sum.recycled),
      static_cast<unsigned long long>(sum.torn), static_cast<unsigned long long>(sum.failed_lives));
  std::printf("  %llu retries before the death was on disk, %llu repeats of a dead one's key, %llu lives ended there\n",
              static_cast<unsigned long long>(sum.early_retries), static_cast<unsigned long long>(sum.repeats_of_dead),
              static_cast<unsigned long long>(sum.cut_deaths));
  // Three lives: it is made, and made again twice.
  if (options.lives * options.operations_a_life >= 10'000) {
    EXPECT_GE(sum.recycled, 2 * sum.files);
  }
  if (one == 0 && count >= 100) {
    // A simulation that never gets to the rare places proves nothing.
    EXPECT_GT(sum.hand_outs, count);
    EXPECT_GT(sum.early_retries, count / 10);
    EXPECT_GT(sum.repeats_of_dead, count / 20);
    EXPECT_GT(sum.cut_deaths, count / 10);
    EXPECT_GT(sum.recycled, 0U);
    if (options.power_cuts) {
      EXPECT_GT(sum.torn, 0U);
    }
    if (options.faults) {
      EXPECT_GT(sum.failed_lives, 0U);
    }
  }
}

TEST(WhatMustHold2, PowerCutsAtAnyMoment) { run("WhatMustHold2.PowerCutsAtAnyMoment", {}, 300); }
TEST(WhatMustHold2, PowerCutsWithSeveralBatchesInFlight) {
  run("WhatMustHold2.PowerCutsWithSeveralBatchesInFlight", {.batches_in_flight = 4}, 300);
}
TEST(WhatMustHold2, PowerCutsWithLargeWrites) {
  run("WhatMustHold2.PowerCutsWithLargeWrites", {.batches_in_flight = 3, .large_writes = true}, 150);
}
TEST(WhatMustHold2, ThroughManyLivesOfEverySegment) {
  run("WhatMustHold2.ThroughManyLivesOfEverySegment", {.lives = 12, .operations_a_life = 1500}, 10);
}
TEST(WhatMustHold1, KillsAtAnyMoment) { run("WhatMustHold1.KillsAtAnyMoment", {.power_cuts = false}, 200); }
TEST(WhatMustHold2, FailingWritesAFullDiskNoDescriptors) {
  run("WhatMustHold2.FailingWritesAFullDiskNoDescriptors", {.faults = true, .batches_in_flight = 2}, 300);
}
TEST(WhatMustHold2, FailingLargeWrites) {
  run("WhatMustHold2.FailingLargeWrites", {.faults = true, .batches_in_flight = 2, .large_writes = true}, 150);
}

}  // namespace
}  // namespace qh::queue
