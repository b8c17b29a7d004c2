#include "serve/stop_signals.h"

#include <csignal>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace qh::serve {
namespace {

using std::chrono::milliseconds;
using Ask = StopSignals::Ask;

/// What each of them asks for; the times are milliseconds from the first.
std::vector<Ask> asked(bool terminal, const std::vector<std::pair<int, int>>& signals_and_times) {
  StopSignals signals(terminal);
  std::vector<Ask> asks;
  asks.reserve(signals_and_times.size());
  for (const auto& [signal, at] : signals_and_times)
    asks.push_back(signals.take(signal, MonoTime{} + milliseconds(at)));
  return asks;
}

TEST(StopSignals, ASecondOneEndsAtOnceUnlessItComesWithTheFirst) {
  using All = std::vector<Ask>;
  EXPECT_EQ(asked(false, {{SIGTERM, 0}, {SIGTERM, 0}, {SIGINT, 999}, {SIGINT, 1000}}),
            (All{Ask::kStop, Ask::kGoOn, Ask::kGoOn, Ask::kEndAtOnce}));
  EXPECT_EQ(asked(true, {{SIGINT, 0}, {SIGTERM, 3000}}), (All{Ask::kStop, Ask::kEndAtOnce}));
}

TEST(StopSignals, AHangupNeverEndsAtOnceAndIsNothingToAService) {
  using All = std::vector<Ask>;
  EXPECT_EQ(asked(false, {{SIGHUP, 0}, {SIGTERM, 1}, {SIGHUP, 5000}}), (All{Ask::kNothing, Ask::kStop, Ask::kNothing}));
  EXPECT_EQ(asked(true, {{SIGTERM, 0}, {SIGHUP, 5000}}), (All{Ask::kStop, Ask::kGoOn}));
}

TEST(StopSignals, BehindAHangupTheFirstRequestIsThatOfTheSession) {
  using All = std::vector<Ask>;
  EXPECT_EQ(asked(true, {{SIGHUP, 0}, {SIGHUP, 2000}, {SIGTERM, 2001}, {SIGTERM, 3000}, {SIGINT, 3001}}),
            (All{Ask::kStop, Ask::kGoOn, Ask::kGoOn, Ask::kGoOn, Ask::kEndAtOnce}));
  EXPECT_EQ(asked(true, {{SIGHUP, 0}, {SIGTERM, 200}, {SIGTERM, 1200}}),
            (All{Ask::kStop, Ask::kGoOn, Ask::kEndAtOnce}));
}

}  // namespace
}  // namespace qh::serve
