#include "serve/descriptors.h"

#include <gtest/gtest.h>

namespace qh::serve {
namespace {

constexpr ConnectionBounds kWanted{4096, 1024};

TEST(Descriptors, WhereThereAreEnoughEveryPortHasItsConnections) {
  for (const std::size_t descriptors : {std::size_t{20'000}, std::size_t{1} << 20, SIZE_MAX}) {
    const auto bounds = connections_that_fit(descriptors, {.validators = 3}, kWanted);
    EXPECT_EQ(bounds.validator, 4096U) << descriptors;
    EXPECT_EQ(bounds.other, 1024U) << descriptors;
  }
}

TEST(Descriptors, WhereThereAreFewTheLogsKeepTheirs) {
  for (const std::size_t validators : {1U, 3U, 16U}) {
    for (const std::size_t descriptors : {1024U, 2000U, 4096U}) {
      for (const std::size_t of_each : {1U, 2U}) {
        const auto bounds = connections_that_fit(descriptors, {validators, of_each}, kWanted);
        EXPECT_GE(bounds.validator, 4U);
        // The web port, the metrics port and its WebSockets.
        EXPECT_LE(validators * of_each * bounds.validator + 3 * bounds.other, descriptors - 32 * validators - 64);
      }
    }
  }
}

TEST(Descriptors, WithTheFewestThatANodeStartsWithTheLogsKeepTheirsToo) {
  for (const std::size_t validators : {1U, 3U, 16U}) {
    for (const std::size_t of_each : {1U, 2U}) {
      const PortCounts ports{validators, of_each};
      const auto least = descriptors_needed(ports);
      EXPECT_FALSE(has_descriptors_for(least - 1, ports));
      for (auto descriptors = least; descriptors < least + 100; ++descriptors) {
        EXPECT_TRUE(has_descriptors_for(descriptors, ports));
        const auto bounds = connections_that_fit(descriptors, ports, kWanted);
        EXPECT_GE(std::min(bounds.validator, bounds.other), 4U) << "it serves somebody on each port";
        EXPECT_LE(validators * of_each * bounds.validator + 3 * bounds.other, descriptors - 32 * validators - 64);
      }
    }
  }
}

TEST(Descriptors, TooFewSayHowManyAreNeeded) {
  const auto enough = has_descriptors_for(64, {.validators = 3});
  ASSERT_FALSE(enough);
  EXPECT_EQ(enough.error().to_string(),
            std::string("a node with 3 validators needs 184 open files, and may have 64; ") + kMoreDescriptors);
}

TEST(Descriptors, CopiesOfABoundShareIt) {
  ConnectionBound bound = 7;
  const auto copy = bound;
  bound.set(5);
  EXPECT_EQ(copy, 5U);
}

}  // namespace
}  // namespace qh::serve
