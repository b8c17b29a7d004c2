// node/figures.h - the validators' figures as monitors, pages and scripts read them.
//
// They are those that each validator sent last, at most a second old while it turns; a running one that has not turned
// for kStalledAfter is shown as stalled. Nothing here waits for a validator.
//
// Threads  pure functions.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node/node.h"
#include "watch/checks.h"
#include "watch/metric.h"

namespace qh::node {

constexpr Duration kStalledAfter = std::chrono::seconds(3);

/// What is known at one moment.
struct Figures {
  std::span<const ValidatorReport> validators;
  std::string_view version;
  WallTime now;
  MonoTime now_mono;
  WallTime started_at;  ///< the process
  Duration uptime{};    ///< by the clock that never jumps
};

/// The state's name, or "stalled".
std::string_view shown_state(const ValidatorReport& report, MonoTime now);

/// The object of the metrics WebSocket: a key a validator, and `aggregate`.
std::string socket_json(const Figures& figures);
/// /metrics.json: seed 004 section 3.3, and the queues beside it.
std::string metrics_json(const Figures& figures);
/// /api/v1/status
std::string status_json(const Figures& figures);
/// /metrics. Label names and values are bounded by the number of validators.
std::vector<watch::MetricFamily> metric_families(const Figures& figures);

/// The process turns, and every loop that should: one that starts, runs or stops.
std::vector<watch::Check> live_checks(const Figures& figures);
/// Every validator that was asked for takes work, and there is one at least.
std::vector<watch::Check> ready_checks(const Figures& figures);
/// Every configured validator has been started.
std::vector<watch::Check> startup_checks(const Figures& figures);

}  // namespace qh::node
