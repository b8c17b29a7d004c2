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
  EXPECT_EQ(connections_that_fit(100, {.validators = 3}, kWanted).validator, 4U) << "it serves somebody all the same";
}

TEST(Descriptors, CopiesOfABoundShareIt) {
  ConnectionBound bound = 7;
  const auto copy = bound;
  bound.set(5);
  EXPECT_EQ(copy, 5U);
}

}  // namespace
}  // namespace qh::serve
