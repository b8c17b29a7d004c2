// What was answered holds, whenever the power is cut or the process killed.
#include <gtest/gtest.h>

#include "acknowledged_calls.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

void run_all_seeds(bool faults) {
  const auto from = number_from_env("QH_FROM", 1);
  const auto seeds = number_from_env("QH_SEEDS", 100);
  for (std::uint64_t seed = from; seed < from + seeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    AcknowledgedCalls calls(seed, faults);
    calls.run(12);
  }
}

TEST(WhatWasAnswered, HoldsThoughTheMachineEndsAtAnyMoment) { run_all_seeds(false); }
TEST(WhatWasAnswered, HoldsThoughItsDiskFailsOrFillsAndTheMachineEnds) { run_all_seeds(true); }

}  // namespace
}  // namespace qh::queue
