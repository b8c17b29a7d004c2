// JSON and checks; figures_metrics.cpp has the families.
#include "node/figures.h"

#include <unistd.h>

#include <cmath>

#include <fmt/format.h>

#include "queue/json_text.h"
#include "rpc/metrics_text.h"

namespace qh::node {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  queue::write_json_string(text, out);
  return out;
}

/// Of a validator that has none at the moment: an empty queue, and no health.
const queue::Metrics& metrics_of(const ValidatorReport& report) {
  static const queue::Metrics none = [] {
    queue::Metrics metrics;
    metrics.health = 0;
    return metrics;
  }();
  return report.figures ? *report.figures : none;
}

/// The members of its object, without the braces.
std::string validator_members(const ValidatorReport& report, MonoTime now) {
  const auto object = rpc::metrics_text(metrics_of(report));
  return object.substr(1, object.size() - 2) +
         fmt::format(R"(,"state":"{}","port":{},"restarts":{},"error":{})", shown_state(report, now), report.port,
                     report.restarts, report.error ? in_quotes(report.error->to_string()) : std::string("null"));
}

double rounded(double value) { return std::round(value * 1e3) / 1e3; }

/// The figures that the seeds' dashboard shows of all validators together.
std::string aggregate_json(const Figures& figures) {
  std::int64_t rate = 0;
  std::uint64_t depth = 0, running = 0, with_traffic = 0;
  double latency_ms = 0;
  for (const auto& report : figures.validators) {
    const auto& metrics = metrics_of(report);
    rate += std::llround(metrics.submits_per_s);
    depth += metrics.depth;
    running += shown_state(report, figures.now_mono) == "running" ? 1 : 0;
    if (metrics.submit_latency.count == 0) continue;
    ++with_traffic;
    latency_ms += metrics.submit_latency_mean_ms;
  }
  const auto average = with_traffic == 0 ? 0 : rounded(latency_ms / static_cast<double>(with_traffic));
  return fmt::format(
      R"({{"total_msg_rate":{},"avg_latency":{},"block_height":0,"finalized":0,"queue_depth":{},"validators":{},)"
      R"("running":{}}})",
      rate, average, depth, figures.validators.size(), running);
}

std::string validators_json(const Figures& figures) {
  std::string out;
  for (const auto& report : figures.validators) {
    if (!out.empty()) out += ',';
    out += in_quotes(report.name) + ":{" + validator_members(report, figures.now_mono) + "}";
  }
  return out;
}

}  // namespace

std::string_view shown_state(const ValidatorReport& report, MonoTime now) {
  const bool late = report.turned_at + kStalledAfter < now;
  return report.state == ValidatorState::kRunning && late ? "stalled" : state_name(report.state);
}

std::string socket_json(const Figures& figures) {
  std::string out = "{" + validators_json(figures);
  if (out.size() > 1) out += ',';
  return out + R"("aggregate":)" + aggregate_json(figures) + "}";
}

std::string metrics_json(const Figures& figures) {
  return fmt::format(
      R"({{"timestamp":"{}","metrics":{{"consensus":{{"round":0,"finalized_vertices":0,"pending_vertices":0}},)"
      R"("dag":{{"total_vertices":0,"total_edges":0,"tips":0}},"queues":{{{}}},"aggregate":{}}}}})",
      rpc::rfc3339(figures.now), validators_json(figures), aggregate_json(figures));
}

std::string status_json(const Figures& figures) {
  std::string validators;
  for (const auto& report : figures.validators) {
    if (!validators.empty()) validators += ',';
    validators +=
        fmt::format(R"({{"name":{},"data_dir":{},)", in_quotes(report.name), in_quotes(report.directory.string())) +
        validator_members(report, figures.now_mono) + "}";
  }
  const auto uptime = static_cast<double>(figures.uptime.count()) * 1e-9;
  return fmt::format(
      R"({{"schema_version":"quantumharmony.status/1","timestamp":"{}","version":{},"pid":{},"started_at":"{}",)"
      R"("uptime_seconds":{},"validators":[{}],"aggregate":{}}})",
      rpc::rfc3339(figures.now), in_quotes(figures.version), ::getpid(), rpc::rfc3339(figures.started_at),
      rounded(uptime), validators, aggregate_json(figures));
}

// -- Checks -------------------------------------------------------------------------------------------------

std::vector<watch::Check> live_checks(const Figures& figures) {
  constexpr Duration kDeadAfter = std::chrono::seconds(10);
  std::vector<watch::Check> checks{{.name = "ping"}};
  for (const auto& report : figures.validators) {
    const bool turns = report.state == ValidatorState::kStarting || report.state == ValidatorState::kRunning ||
                       report.state == ValidatorState::kStopping;
    if (!turns) continue;
    const auto silent = figures.now_mono - report.turned_at;
    watch::Check check{.name = "loop-" + report.name, .passed = silent <= kDeadAfter};
    if (!check.passed)
      check.why = fmt::format("it is {}, and its loop has not turned for {} s", state_name(report.state),
                              std::chrono::duration_cast<std::chrono::seconds>(silent).count());
    checks.push_back(std::move(check));
  }
  return checks;
}

namespace {

/// Why it takes no work, or not all; empty: it does.
std::string not_ready(const ValidatorReport& report, MonoTime now) {
  if (const auto state = shown_state(report, now); state != "running")
    return "it is " + std::string(state) + (report.error ? ": " + report.error->to_string() : "");
  if (!report.figures) return {};
  if (!report.figures->failure.empty()) return "its log has failed: " + report.figures->failure;
  if (report.figures->storage_full) return "its disk has no room for submits; free some space there";
  return {};
}

}  // namespace

std::vector<watch::Check> ready_checks(const Figures& figures) {
  std::vector<watch::Check> checks;
  for (const auto& report : figures.validators) {
    if (report.state == ValidatorState::kStopped) continue;  // on purpose
    auto why = not_ready(report, figures.now_mono);
    const bool passed = why.empty();
    checks.push_back({.name = "validator-" + report.name, .passed = passed, .why = std::move(why)});
  }
  if (checks.empty()) checks.push_back({.name = "validators", .passed = false, .why = "none runs: all are stopped"});
  return checks;
}

std::vector<watch::Check> startup_checks(const Figures& figures) {
  std::vector<watch::Check> checks;
  for (const auto& report : figures.validators) {
    const bool not_wanted = report.state == ValidatorState::kStopped && !report.started;
    if (!report.configured || not_wanted) continue;
    checks.push_back({.name = "validator-" + report.name, .passed = report.started.has_value()});
    if (!report.started) checks.back().why = "it is " + std::string(state_name(report.state));
  }
  return checks;
}

}  // namespace qh::node
