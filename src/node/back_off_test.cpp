#include "node/back_off.h"

#include <gtest/gtest.h>

namespace qh::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(BackOff, DoublesUpToItsBoundAlsoWhenNothingRuns) {
  BackOff back_off;
  EXPECT_EQ(back_off.after_error(minutes(5)), milliseconds(100));
  // Starts that fail, for hours: the long run before them must not begin it anew.
  EXPECT_EQ(back_off.after_error(std::nullopt), milliseconds(200));
  EXPECT_EQ(back_off.after_error(seconds(59)), milliseconds(400));
  for (int i = 0; i < 1000; ++i) (void)back_off.after_error(std::nullopt);
  EXPECT_EQ(back_off.after_error(std::nullopt), seconds(30));
  EXPECT_EQ(back_off.after_error(minutes(1)), milliseconds(100));
}

}  // namespace
}  // namespace qh::node
