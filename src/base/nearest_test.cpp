#include "base/nearest.h"

#include <array>

#include <gtest/gtest.h>

namespace qh {
namespace {

constexpr std::array<std::string_view, 4> kKnown{"data-dir", "log-level", "port-offset", "topic"};

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("data_dir", kKnown), "data-dir");
  EXPECT_EQ(nearest("log-levle", kKnown), "log-level");
  EXPECT_EQ(nearest("tpoic", kKnown), "topic");
  EXPECT_EQ(nearest("Topic", kKnown), "topic");
  EXPECT_EQ(nearest_hint("port-ofset", kKnown), " (did you mean port-offset?)");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("colour", kKnown), std::nullopt);
  EXPECT_EQ(nearest(std::string(100, 't'), kKnown), std::nullopt);
  EXPECT_EQ(nearest("", kKnown), std::nullopt);
  EXPECT_EQ(nearest_hint("colour", kKnown), "");
}

}  // namespace
}  // namespace qh
