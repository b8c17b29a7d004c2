// qssh_getMetrics: the seeds' figures first, then the parts of a queue.
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/json_text.h"
#include "rpc/handlers.h"
#include "rpc/metrics_text.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

/// Figures are for people: a thousandth is finer than any of them is true.
double rounded(double value) { return std::round(value * 1e3) / 1e3; }

json::object latency(const HistogramSummary& s) {
  return {{"count", integer_json(s.count)}, {"mean_ms", rounded(s.mean * 1e3)}, {"p50_ms", rounded(s.p50 * 1e3)},
          {"p99_ms", rounded(s.p99 * 1e3)}, {"p999_ms", rounded(s.p999 * 1e3)}, {"max_ms", rounded(s.max * 1e3)}};
}

json::object by_kind(const queue::Metrics& m) {
  json::object out;
  for (const auto& kind : queue::kinds())
    out.emplace(kind.name, integer_json(m.depth_by_kind[static_cast<std::size_t>(kind.kind)]));
  return out;
}

json::object by_priority(const queue::Metrics& m) {
  json::object out;
  for (const auto priority :
       {queue::Priority::kCritical, queue::Priority::kHigh, queue::Priority::kNormal, queue::Priority::kLow}) {
    std::uint64_t depth = 0;
    for (const auto& kind : queue::kinds()) {
      if (kind.priority == priority) depth += m.depth_by_kind[static_cast<std::size_t>(kind.kind)];
    }
    out.emplace(queue::priority_name(priority), integer_json(depth));
  }
  return out;
}

json::array health_parts(const queue::Metrics& m) {
  json::array parts;
  for (const auto& part : m.health_parts) {
    parts.push_back(json::object{{"name", part.name},
                                 {"value", rounded(part.value)},
                                 {"good", part.good},
                                 {"bad", part.bad},
                                 {"points_lost", part.points_lost},
                                 {"points_max", part.points_max}});
  }
  return parts;
}

json::object counters(const queue::Counters& c) {
  return {{"submitted_sync", integer_json(c.submitted_sync)},
          {"submitted_async", integer_json(c.submitted_async)},
          {"taken", integer_json(c.taken)},
          {"leased", integer_json(c.leased)},
          {"acked", integer_json(c.acked)},
          {"nacked", integer_json(c.nacked)},
          {"expired_leases", integer_json(c.expired_leases)},
          {"dead_lettered", integer_json(c.dead_lettered)},
          {"dead_retried", integer_json(c.dead_retried)},
          {"dead_evicted", integer_json(c.dead_evicted)},
          {"removed", integer_json(c.removed)},
          {"duplicates", integer_json(c.duplicates)}};
}

json::object refusals(const queue::Refusals& r) {
  return {{"total", integer_json(r.total())},
          {"QueueFull", integer_json(r.queue_full)},
          {"RateLimited", integer_json(r.rate_limited)},
          {"StorageFull", integer_json(r.storage_full)},
          {"StorageFailed", integer_json(r.storage_failed)},
          {"TooLarge", integer_json(r.too_large)},
          {"Invalid", integer_json(r.invalid)},
          {"ShuttingDown", integer_json(r.shutting_down)}};
}

json::object rates(const queue::Metrics& m) {
  return {{"submits_per_s", rounded(m.submits_per_s)},
          {"submits_sync_per_s", rounded(m.submits_sync_per_s)},
          {"submits_async_per_s", rounded(m.submits_async_per_s)},
          {"hand_outs_per_s", rounded(m.hand_outs_per_s)},
          {"hand_outs_sync_per_s", rounded(m.hand_outs_sync_per_s)},
          {"hand_outs_async_per_s", rounded(m.hand_outs_async_per_s)}};
}

json::object wal(const queue::Metrics& m) {
  return {{"bytes", integer_json(m.wal_bytes)},
          {"live_bytes", integer_json(m.wal_live_bytes)},
          {"segments", integer_json(m.wal_segments)},
          {"batches", integer_json(m.wal_batches)},
          {"syncs", integer_json(m.wal_syncs)},
          {"compactions", integer_json(m.wal_compactions)},
          {"recycles", integer_json(m.wal_recycles)},
          {"torn_bytes", integer_json(m.wal_torn_bytes)},
          {"appended_seq", integer_json(m.wal_appended_seq)},
          {"durable_seq", integer_json(m.wal_durable_seq)}};
}

}  // namespace

std::string rfc3339(WallTime time) {
  auto ms_of_second = time.ms() % 1000;
  std::time_t seconds = time.ms() / 1000;
  if (ms_of_second < 0) {  // before 1970
    ms_of_second += 1000;
    --seconds;
  }
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 8> ms{};
  std::snprintf(ms.data(), ms.size(), ".%03dZ", static_cast<int>(ms_of_second));
  return std::string(text.data(), size) + ms.data();
}

std::string metrics_text(const queue::Metrics& metrics) { return queue::write_json(metrics_json(metrics)); }

json::value metrics_json(const queue::Metrics& m) {
  json::object out{{"queue_depth", integer_json(m.depth)},
                   {"msg_rate", std::llround(m.submits_per_s)},
                   {"latency", rounded(m.submit_latency_mean_ms)},
                   {"health", m.health},
                   {"total_processed", integer_json(m.total_processed)},
                   {"uptime", rounded(m.uptime_s)},
                   {"last_message_time", m.last_message_at ? json::value(rfc3339(*m.last_message_at)) : nullptr}};
  out.emplace("queue_bytes", integer_json(m.bytes));
  out.emplace("ready", integer_json(m.ready));
  out.emplace("delayed", integer_json(m.delayed));
  out.emplace("leases_out", integer_json(m.leases_out));
  out.emplace("waiters", integer_json(m.waiters));
  out.emplace("depth_by_kind", by_kind(m));
  out.emplace("depth_by_priority", by_priority(m));
  out.emplace("paused", kinds_json(m.paused));
  out.emplace("oldest_ready_s", m.oldest_ready_s ? json::value(rounded(*m.oldest_ready_s)) : json::value(nullptr));
  out.emplace("dead_letters", integer_json(m.dead_letters));
  out.emplace("dead_letter_bytes", integer_json(m.dead_letter_bytes));
  out.emplace("idempotency_keys", integer_json(m.idempotency_keys));
  out.emplace("rates", rates(m));
  out.emplace("submit_latency", latency(m.submit_latency));
  out.emplace("fsync_latency", latency(m.fsync_latency));
  out.emplace("batch_records", json::object{{"mean", rounded(m.batch_records.mean)},
                                            {"p50", rounded(m.batch_records.p50)},
                                            {"p99", rounded(m.batch_records.p99)},
                                            {"max", rounded(m.batch_records.max)}});
  out.emplace("counters", counters(m.counters));
  out.emplace("refusals", refusals(m.refusals));
  out.emplace("wal", wal(m));
  out.emplace("storage_full", m.storage_full);
  out.emplace("cannot_grow", m.cannot_grow.empty() ? json::value(nullptr) : json::value(m.cannot_grow));
  out.emplace("failure", m.failure.empty() ? json::value(nullptr) : json::value(m.failure));
  out.emplace("health_parts", health_parts(m));
  return out;
}

}  // namespace qh::rpc
