// Whatever was done: a queue at rest is the same after a stop, a kill or a cut of the power and a start.
#include <gtest/gtest.h>

#include "queue_snapshot.h"
#include "restart_life.h"

namespace qh::queue {
namespace {

void run_all_seeds(LifeOptions how) {
  const auto from = number_from_env("QH_FROM", 1);
  const auto seeds = number_from_env("QH_SEEDS", 25);
  for (std::uint64_t seed = from; seed < from + seeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    RestartLife life(seed, how);
    life.run(6, 150);
  }
}

TEST(AQueueAtRest, IsTheSameAfterAStart) { run_all_seeds({}); }
TEST(AQueueAtRest, IsTheSameAfterAStartButForWhatWasOnlyInMemory) { run_all_seeds({.only_sync = false}); }
TEST(AQueueAtRest, IsTheSameAfterAStartThoughItsDiskWasFull) { run_all_seeds({.disk_fills = true}); }
TEST(AQueueAtRest, IsTheSameAfterAStartThoughItsDiskWasFullOfMore) {
  run_all_seeds({.only_sync = false, .disk_fills = true});
}

}  // namespace
}  // namespace qh::queue
