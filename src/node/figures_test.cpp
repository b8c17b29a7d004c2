// What the checks say of a validator in each state.
#include "node/figures.h"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

#include "node/service_status.h"

namespace qh::node {
namespace {

using State = ValidatorState;
constexpr MonoTime kNow{1'000'000'000'000};

ValidatorReport report(const std::string& name, State state, Duration silent = {}) {
  ValidatorReport out;
  out.name = name;
  out.configured = true;
  out.state = state;
  out.turned_at = kNow + -silent;
  if (state == State::kRunning) {
    out.started.emplace();
    out.figures.emplace();
  }
  return out;
}

using List = std::vector<watch::Check> (*)(const Figures&);

/// The names of the checks that fail.
std::vector<std::string> failing(List list, const std::vector<ValidatorReport>& reports) {
  std::vector<std::string> names;
  for (const auto& check :
       list({.validators = reports, .version = {}, .now = {}, .now_mono = kNow, .started_at = {}})) {
    EXPECT_NE(check.passed, !check.why.empty()) << check.name << ": " << check.why;
    if (!check.passed) names.push_back(check.name);
  }
  return names;
}

using Names = std::vector<std::string>;
constexpr Duration kShort = std::chrono::seconds(9), kLong = std::chrono::seconds(11);

TEST(LiveChecks, ALoopThatStandsStillIsSeenAlsoWhileItStartsOrStops) {
  for (const auto state : {State::kStarting, State::kRunning, State::kStopping}) {
    EXPECT_EQ(failing(live_checks, {report("bob", state, kShort)}), Names()) << state_name(state);
    EXPECT_EQ(failing(live_checks, {report("bob", state, kLong)}), Names{"loop-bob"}) << state_name(state);
  }
  for (const auto state : {State::kRestarting, State::kFailed, State::kStopped})
    EXPECT_EQ(failing(live_checks, {report("bob", state, kLong)}), Names()) << state_name(state);
}

TEST(ReadyChecks, OneWithoutRoomForSubmitsIsNotReady) {
  auto bob = report("bob", State::kRunning);
  EXPECT_EQ(failing(ready_checks, {bob}), Names());
  bob.figures->storage_full = true;
  EXPECT_EQ(failing(ready_checks, {report("alice", State::kRunning), bob}), Names{"validator-bob"});
}

TEST(ReadyChecks, OneThatWasStoppedDoesNotCountButOneHasToRun) {
  const auto stopped = report("bob", State::kStopped);
  EXPECT_EQ(failing(ready_checks, {report("alice", State::kRunning), stopped}), Names());
  EXPECT_EQ(failing(ready_checks, {report("alice", State::kStopped), stopped}), Names{"validators"});
  EXPECT_EQ(failing(ready_checks, {report("alice", State::kFailed), stopped}), Names{"validator-alice"});
}

TEST(StartupChecks, OneThatWasAddedDoesNotCount) {
  auto dave = report("dave", State::kFailed);
  EXPECT_EQ(failing(startup_checks, {report("alice", State::kRunning), dave}), Names{"validator-dave"});
  dave.configured = false;
  EXPECT_EQ(failing(startup_checks, {report("alice", State::kRunning), dave}), Names());
  EXPECT_EQ(failing(startup_checks, {report("alice", State::kStopped)}), Names()) << "it was stopped while it started";
}

/// The sample of bob's queue in a family that has one a validator.
std::optional<double> sample_of_bob(std::string_view name, const Figures& figures) {
  for (const auto& family : metric_families(figures)) {
    if (family.name == name && !family.samples.empty()) return family.samples.front().value;
  }
  return std::nullopt;
}

TEST(Metrics, EachKindSaysWhetherItIsPaused) {
  std::vector reports{report("bob", State::kRunning)};
  reports.front().figures->paused = queue::KindMask::of(queue::Kind::kGossip);
  std::string paused;
  for (const auto& family : metric_families({.validators = reports, .now_mono = kNow})) {
    if (family.name != "quantumharmony_queue_paused") continue;
    for (const auto& sample : family.samples) paused += sample.value == 1 ? sample.labels.back().second : "";
  }
  EXPECT_EQ(paused, "Gossip");
}

// It does not move with a clock that jumps, nor with a validator that has sent no figures since.
TEST(Metrics, WhenTheOldestReadyMessageWasSubmittedStands) {
  std::vector reports{report("bob", State::kRunning)};
  const auto oldest = [&](WallTime now) {
    return sample_of_bob("quantumharmony_queue_oldest_timestamp_seconds",
                         {.validators = reports, .version = {}, .now = now, .now_mono = kNow, .started_at = {}});
  };
  EXPECT_EQ(oldest(WallTime::from_ms(100'000)), std::nullopt) << "nothing is ready";
  reports.front().figures->oldest_ready_s = 7;
  reports.front().figures->oldest_ready_at = WallTime::from_ms(93'000);
  for (const std::int64_t now_ms : {100'000, 100'900, 900'000, 50'000})
    EXPECT_EQ(oldest(WallTime::from_ms(now_ms)), 93);
}

TEST(ServiceStatus, CountsThoseThatRunAndNamesTheOthers) {
  const auto alice = report("alice", State::kRunning);
  EXPECT_EQ(service_status(std::vector{alice}), "1 validator ready");
  EXPECT_EQ(service_status(std::vector{alice, report("bob", State::kRunning)}), "2 validators ready");
  EXPECT_EQ(service_status(std::vector{alice, report("bob", State::kRestarting), report("dave", State::kFailed)}),
            "1 of 3 validators ready: bob is restarting, dave is failed");
}

}  // namespace
}  // namespace qh::node
