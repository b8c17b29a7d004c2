// /metrics: the families of reference names, with the label `validator`.
#include <optional>
#include <string>
#include <utility>

#include "node/figures.h"
#include "node/process_figures.h"

namespace qh::node {
namespace {

using watch::Labels;
using watch::MetricFamily;
using watch::MetricType;

/// Collects families; a figure is one line below.
class Collector {
 public:
  explicit Collector(const Figures& figures) : figures_(figures) {}

  void one(std::string_view name, MetricType type, std::string_view help, double value, Labels labels = {}) {
    families_.push_back({.name = name, .type = type, .help = help});
    families_.back().samples.push_back({std::move(labels), value});
  }

  /// Absent where it is not known.
  void one_if_known(std::string_view name, std::string_view help, const std::optional<std::uint64_t>& value) {
    if (value) one(name, MetricType::kGauge, help, static_cast<double>(*value));
  }

  /// A sample for each validator that has figures.
  template <class Value>  // double(const queue::Metrics&)
  void queue(std::string_view name, MetricType type, std::string_view help, Value value) {
    each(name, type, help, [&](MetricFamily& family, const ValidatorReport& report) {
      family.samples.push_back({label(report), static_cast<double>(value(*report.figures))});
    });
  }

  /// Several samples for each, one more label apart: `list` calls add(text, value).
  template <class List>  // void(const queue::Metrics&, add)
  void queue_by(std::string_view name, MetricType type, std::string_view help, std::string_view by, List list) {
    each(name, type, help, [&](MetricFamily& family, const ValidatorReport& report) {
      list(*report.figures, [&](std::string_view text, auto value) {
        auto labels = label(report);
        labels.emplace_back(by, text);
        family.samples.push_back({std::move(labels), static_cast<double>(value)});
      });
    });
  }

  /// The quantiles of the last 10 s with the sum and the count since the start.
  void latency(std::string_view name, std::string_view help, HistogramSummary queue::Metrics::*recent,
               HistogramSummary queue::Metrics::*total) {
    each(name, MetricType::kSummary, help, [&](MetricFamily& family, const ValidatorReport& report) {
      const auto& now = *report.figures.*recent;
      const auto& ever = *report.figures.*total;
      family.summaries.push_back(
          {label(report), {{0.5, now.p50}, {0.99, now.p99}, {0.999, now.p999}}, ever.sum, ever.count});
    });
  }

  template <class Add>  // void(MetricFamily&, const ValidatorReport&)
  void each_validator(std::string_view name, MetricType type, std::string_view help, Add add) {
    families_.push_back({.name = name, .type = type, .help = help});
    for (const auto& report : figures_.validators) add(families_.back(), report);
  }

  static Labels label(const ValidatorReport& report) { return {{"validator", report.name}}; }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  template <class Add>
  void each(std::string_view name, MetricType type, std::string_view help, Add add) {
    each_validator(name, type, help, [&](MetricFamily& family, const ValidatorReport& report) {
      if (report.figures) add(family, report);
    });
  }

  const Figures& figures_;
  std::vector<MetricFamily> families_;
};

constexpr auto kGauge = MetricType::kGauge;
constexpr auto kCounter = MetricType::kCounter;

void add_node(Collector& c, const Figures& figures) {
  c.one("quantumharmony_build", MetricType::kInfo, "The version that runs.", 1,
        {{"version", std::string(figures.version)}});
  const auto process = process_figures();
  c.one("process_cpu_seconds", kCounter, "Processor time, user and system.", process.cpu_seconds);
  c.one_if_known("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
  c.one_if_known("process_virtual_memory_bytes", "Address space in use.", process.virtual_bytes);
  c.one_if_known("process_open_fds", "Open file descriptors.", process.open_fds);
  c.one("process_max_fds", kGauge, "How many there may be.", static_cast<double>(process.max_fds));
  c.one("process_start_time_seconds", kGauge, "When the process was started, Unix time.",
        static_cast<double>(figures.started_at.ns) * 1e-9);
  c.one_if_known("quantumharmony_process_threads", "Threads.", process.threads);
  bool ready = true;
  for (const auto& check : ready_checks(figures)) ready = ready && check.passed;
  c.one("quantumharmony_ready", kGauge, "1 when /readyz passes.", ready ? 1 : 0);
  c.each_validator("quantumharmony_validator_up", kGauge, "1 when the validator runs and its loop turns.",
                   [&](MetricFamily& family, const ValidatorReport& report) {
                     const bool up = shown_state(report, figures.now_mono) == "running";
                     family.samples.push_back({Collector::label(report), up ? 1.0 : 0.0});
                   });
  c.each_validator("quantumharmony_validator_restarts", kCounter, "Starts after an error ended its loop.",
                   [&](MetricFamily& family, const ValidatorReport& report) {
                     family.samples.push_back({Collector::label(report), static_cast<double>(report.restarts)});
                   });
}

void add_queue(Collector& c) {
  using M = queue::Metrics;
  c.queue_by("quantumharmony_queue_depth", kGauge, "Messages ready, delayed and leased.", "kind",
             [](const M& m, auto add) {
               for (const auto& kind : queue::kinds())
                 add(kind.name, m.depth_by_kind[static_cast<std::size_t>(kind.kind)]);
             });
  c.queue_by("quantumharmony_queue_paused", kGauge, "1 when nothing of the kind is handed out.", "kind",
             [](const M& m, auto add) {
               for (const auto& kind : queue::kinds()) add(kind.name, m.paused.has(kind.kind) ? 1 : 0);
             });
  c.queue("quantumharmony_queue_bytes", kGauge, "Bodies and idempotency keys in memory.",
          [](const M& m) { return m.bytes; });
  c.queue("quantumharmony_queue_inflight", kGauge, "Leases that are out.", [](const M& m) { return m.leases_out; });
  c.queue("quantumharmony_queue_delayed", kGauge, "Messages that wait for their time.",
          [](const M& m) { return m.delayed; });
  c.queue("quantumharmony_queue_waiters", kGauge, "Consumers that wait for a message.",
          [](const M& m) { return m.waiters; });
  c.each_validator("quantumharmony_queue_oldest_timestamp_seconds", kGauge,
                   "When the oldest ready message was submitted, Unix time; absent when none is ready.",
                   [&](MetricFamily& family, const ValidatorReport& report) {
                     if (!report.figures || !report.figures->oldest_ready_at) return;
                     const auto at = static_cast<double>(report.figures->oldest_ready_at->ns) * 1e-9;
                     family.samples.push_back({Collector::label(report), at});
                   });
  c.queue_by("quantumharmony_queue_enqueued", kCounter, "Messages submitted.", "durability", [](const M& m, auto add) {
    add("sync", m.counters.submitted_sync);
    add("async", m.counters.submitted_async);
  });
  c.queue_by("quantumharmony_queue_dequeued", kCounter, "Messages handed out.", "by", [](const M& m, auto add) {
    add("take", m.counters.taken);
    add("lease", m.counters.leased);
  });
  c.queue("quantumharmony_queue_acked", kCounter, "Leases acknowledged.", [](const M& m) { return m.counters.acked; });
  c.queue("quantumharmony_queue_nacked", kCounter, "Leases given back.", [](const M& m) { return m.counters.nacked; });
  c.queue("quantumharmony_queue_expired_leases", kCounter, "Leases that ran out.",
          [](const M& m) { return m.counters.expired_leases; });
  c.queue("quantumharmony_queue_duplicates", kCounter, "Submits that an idempotency key answered.",
          [](const M& m) { return m.counters.duplicates; });
  c.queue_by("quantumharmony_queue_rejected", kCounter, "Messages refused since the start of the process.", "reason",
             [](const M& m, auto add) {
               add("queue_full", m.refusals.queue_full);
               add("rate_limited", m.refusals.rate_limited);
               add("storage_full", m.refusals.storage_full);
               add("storage_failed", m.refusals.storage_failed);
               add("too_large", m.refusals.too_large);
               add("invalid", m.refusals.invalid);
               add("shutting_down", m.refusals.shutting_down);
             });
  c.queue("quantumharmony_queue_dead_letters", kGauge, "Dead letters kept.", [](const M& m) { return m.dead_letters; });
  c.queue("quantumharmony_queue_dead_lettered", kCounter, "Messages that became dead letters.",
          [](const M& m) { return m.counters.dead_lettered; });
  c.queue("quantumharmony_queue_health", kGauge, "0 to 100; /api/v1/status tells its parts.",
          [](const M& m) { return m.health; });
  c.latency("quantumharmony_queue_submit_seconds", "Sync submits until they are durable.", &M::submit_latency,
            &M::submit_latency_total);
}

void add_wal(Collector& c) {
  using M = queue::Metrics;
  c.latency("quantumharmony_wal_fsync_seconds", "Durable writes of the log.", &M::fsync_latency,
            &M::fsync_latency_total);
  c.queue("quantumharmony_wal_fsyncs", kCounter, "Durable writes of the log.", [](const M& m) { return m.wal_syncs; });
  c.queue("quantumharmony_wal_batches", kCounter, "Batches written.", [](const M& m) { return m.wal_batches; });
  c.queue("quantumharmony_wal_size_bytes", kGauge, "Segments on the disk.", [](const M& m) { return m.wal_bytes; });
  c.queue("quantumharmony_wal_live_bytes", kGauge, "Records that are still needed.",
          [](const M& m) { return m.wal_live_bytes; });
  c.queue("quantumharmony_wal_segments", kGauge, "Segments on the disk.", [](const M& m) { return m.wal_segments; });
  c.queue("quantumharmony_wal_appended_sequence", kGauge, "Newest record written.",
          [](const M& m) { return m.wal_appended_seq; });
  c.queue("quantumharmony_wal_durable_sequence", kGauge, "Newest record that is durable.",
          [](const M& m) { return m.wal_durable_seq; });
  c.queue("quantumharmony_wal_compactions", kCounter, "Segments whose live records were carried on.",
          [](const M& m) { return m.wal_compactions; });
  c.queue("quantumharmony_wal_recycles", kCounter, "Segments made of old ones since the start of the process.",
          [](const M& m) { return m.wal_recycles; });
  c.queue("quantumharmony_wal_recovery_truncated_bytes", kGauge, "Torn bytes that the last start set aside.",
          [](const M& m) { return m.wal_torn_bytes; });
  c.queue("quantumharmony_wal_storage_full", kGauge, "1 while the disk has no room for submits.",
          [](const M& m) { return m.storage_full ? 1 : 0; });
  c.queue("quantumharmony_wal_cannot_grow", kGauge,
          "1 while the next segment cannot be made, for whatever reason: submits are refused when the log is used up.",
          [](const M& m) { return m.cannot_grow.empty() ? 0 : 1; });
  c.queue("quantumharmony_wal_failed", kGauge, "1 when the log has failed: nothing durable is taken until a restart.",
          [](const M& m) { return m.failure.empty() ? 0 : 1; });
}

}  // namespace

std::vector<watch::MetricFamily> metric_families(const Figures& figures) {
  Collector collector(figures);
  add_node(collector, figures);
  add_queue(collector);
  add_wal(collector);
  return collector.take();
}

}  // namespace qh::node
