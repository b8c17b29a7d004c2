#include "watch/checks.h"

#include <gtest/gtest.h>

namespace qh::watch {
namespace {

const std::vector<Check> kChecks{{.name = "ping"}, {.name = "log a", .passed = false, .why = "it has failed"}};

TEST(Checks, OneThatFailsFailsThePageAndSaysWhy) {
  const auto page = judge("readyz", kChecks, "");
  EXPECT_FALSE(page.passed);
  EXPECT_EQ(page.text, "[+]ping ok\n[-]log a failed: it has failed\nreadyz check failed\n");
}

TEST(Checks, ExcludedOnesDoNotCount) {
  for (const char* query : {"exclude=log%20a", "exclude=log+a&exclude=other", "verbose=0&exclude=log%20a"}) {
    EXPECT_TRUE(judge("readyz", kChecks, query).passed) << query;
    EXPECT_EQ(judge("readyz", kChecks, query).text, "ok\n") << query;
  }
  EXPECT_FALSE(judge("readyz", kChecks, "exclude=log%2").passed);
  EXPECT_EQ(judge("livez", kChecks, "verbose&exclude=log%20a&exclude=x").text,
            "[+]ping ok\n[+]log a excluded: ok\nwarn: there is no check named x to exclude\nlivez check passed\n");
}

}  // namespace
}  // namespace qh::watch
