#include "watch/exposition.h"

#include <limits>

#include <gtest/gtest.h>

namespace qh::watch {
namespace {

std::vector<MetricFamily> families() {
  return {
      {.name = "depth", .help = "Messages \"now\".\nAll \\ of them.", .samples = {{{{"validator", "a\"b\\c\nd"}}, 3}}},
      {.name = "taken", .type = MetricType::kCounter, .help = "Taken.", .samples = {{{}, 7}}},
      {.name = "build", .type = MetricType::kInfo, .help = "Version.", .samples = {{{{"version", "1.2"}}, 1}}},
      {.name = "sync_seconds",
       .type = MetricType::kSummary,
       .help = "Syncs.",
       .samples = {},
       .summaries = {{{{"validator", "a"}}, {{0.5, 0.001}, {0.99, 0.25}}, 1.5, 10}}},
      {.name = "none", .help = "Without a sample it is not there."},
      {.name = "odd", .help = "Odd.", .samples = {{{}, std::numeric_limits<double>::infinity()}}},
  };
}

TEST(Exposition, PrometheusText) {
  EXPECT_EQ(expose(families(), Exposition::kPrometheus), R"(# TYPE depth gauge
# HELP depth Messages "now".\nAll \\ of them.
depth{validator="a\"b\\c\nd"} 3
# TYPE taken_total counter
# HELP taken_total Taken.
taken_total 7
# TYPE build_info gauge
# HELP build_info Version.
build_info{version="1.2"} 1
# TYPE sync_seconds summary
# HELP sync_seconds Syncs.
sync_seconds{validator="a",quantile="0.5"} 0.001
sync_seconds{validator="a",quantile="0.99"} 0.25
sync_seconds_sum{validator="a"} 1.5
sync_seconds_count{validator="a"} 10
# TYPE odd gauge
# HELP odd Odd.
odd +Inf
)");
}

TEST(Exposition, OpenMetricsNamesFamiliesAndEnds) {
  const auto text = expose(families(), Exposition::kOpenMetrics);
  EXPECT_NE(text.find("# TYPE taken counter\n# HELP taken Taken.\ntaken_total 7\n"), text.npos) << text;
  EXPECT_NE(text.find("# TYPE build info\n"), text.npos);
  EXPECT_NE(text.find("# HELP depth Messages \\\"now\\\".\\nAll \\\\ of them.\n"), text.npos) << "quotes too";
  EXPECT_TRUE(text.ends_with("# EOF\n"));
}

TEST(Exposition, TheAcceptFieldDecides) {
  const auto open = [](std::string_view accept) { return negotiate(accept) == Exposition::kOpenMetrics; };
  EXPECT_FALSE(open(""));
  EXPECT_FALSE(open("*/*"));
  EXPECT_FALSE(open("text/html, text/plain"));
  EXPECT_TRUE(open("application/openmetrics-text"));
  // What Prometheus 2.42 sends.
  EXPECT_TRUE(
      open("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
           "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
  EXPECT_FALSE(open("application/openmetrics-text;q=0.2, text/plain;q=0.9"));
  EXPECT_FALSE(open("application/openmetrics-text;q=0"));
  EXPECT_TRUE(open("APPLICATION/OpenMetrics-Text"));
  EXPECT_FALSE(open("application/openmetrics-text;Q=0.2, TEXT/Plain;q=0.9"));
  EXPECT_FALSE(open("application/openmetrics-text;q=x"));
}

}  // namespace
}  // namespace qh::watch
