#include "serve/descriptors.h"

#include <gtest/gtest.h>

namespace qh::serve {
namespace {

constexpr ConnectionBounds kWanted{4096, 1024};

TEST(Descriptors, WhereThereAreEnoughEveryPortHasItsConnections) {
  for (const std::size_t descriptors : {std::size_t{20'000}, std::size_t{1} << 20, SIZE_MAX}) {
    const auto bounds = connections_that_fit(descriptors, 3, kWanted);
    EXPECT_EQ(bounds.validator, 4096U) << descriptors;
    EXPECT_EQ(bounds.other, 1024U) << descriptors;
  }
}

TEST(Descriptors, WhereThereAreFewTheLogsKeepTheirs) {
  for (const std::size_t validators : {1U, 3U, 16U}) {
    for (const std::size_t descriptors : {1024U, 2000U, 4096U}) {
      const auto bounds = connections_that_fit(descriptors, validators, kWanted);
      EXPECT_GE(bounds.validator, 4U);
      EXPECT_LE(validators * bounds.validator + 2 * bounds.other, descriptors - 32 * validators - 64);
    }
  }
  EXPECT_EQ(connections_that_fit(100, 3, kWanted).validator, 4U) << "it serves somebody all the same";
}

}  // namespace
}  // namespace qh::serve
