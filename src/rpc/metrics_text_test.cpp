#include "rpc/metrics_text.h"

#include <gtest/gtest.h>

namespace qh::rpc {
namespace {

TEST(MetricsText, ATimeIsWrittenAlsoWhenItIsBefore1970) {
  EXPECT_EQ(rfc3339(WallTime::from_ms(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(WallTime::from_ms(1'001)), "1970-01-01T00:00:01.001Z");
  EXPECT_EQ(rfc3339(WallTime::from_ms(-1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(rfc3339(WallTime::from_ms(-1'000)), "1969-12-31T23:59:59.000Z");
  EXPECT_EQ(rfc3339(WallTime::from_ms(-157'766'398'899)), "1965-01-01T00:00:01.101Z");
}

}  // namespace
}  // namespace qh::rpc
