// The engine: figures and health.
#include <algorithm>
#include <cmath>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

double seconds(Duration d) { return static_cast<double>(d.count()) * 1e-9; }

/// Points grow in a line from 0 at `good` to `max` at `bad`.
HealthPart part(std::string name, double value, double good, double bad, std::uint32_t max) {
  const double share = std::clamp((value - good) / (bad - good), 0.0, 1.0);
  return {std::move(name), value, good, bad, static_cast<std::uint32_t>(std::lround(share * max)), max};
}

}  // namespace

// The rule is in the API's contract (docs/json-rpc.md, "Health of a queue").
std::vector<HealthPart> Engine::Impl::health(const Metrics& m, MonoTime now) const {
  std::vector<HealthPart> parts;
  const double depth_share = 100.0 * static_cast<double>(m.depth) / static_cast<double>(options_.max_depth);
  parts.push_back(part("depth_percent", depth_share, 50, 100, 30));
  double oldest = 0;
  const KindMask own(options_.consumed_kinds);
  for (const auto& kind : kinds()) {
    const Entry* head = own.has(kind.kind) ? store_.oldest_ready(kind.kind) : nullptr;
    if (head != nullptr) oldest = std::max(oldest, seconds(clock_.wall() - head->created_at));
  }
  parts.push_back(part("oldest_seconds", oldest, 10, 60, 30));
  parts.push_back(part("fsync_p99_ms", m.fsync_latency.p99 * 1e3, 20, 200, 20));
  const double refused = static_cast<double>(refused_.events(now));
  const double asked = refused + static_cast<double>(accepted_.events(now));
  parts.push_back(part("refused_percent", asked > 0 ? 100 * refused / asked : 0, 0, 50, 10));
  parts.push_back({"dead_letters", static_cast<double>(m.dead_letters), 100, 101, m.dead_letters > 100 ? 10U : 0U, 10});
  parts.push_back({"log_failed", failure_ ? 1.0 : 0.0, 0, 1, failure_ ? 100U : 0U, 100});
  return parts;
}

Metrics Engine::Impl::metrics() const {
  const auto now = clock_.mono();
  Metrics m;
  for (std::size_t i = 0; i < kKindCount; ++i) {
    const auto& kind = store_.depth().by_kind[i];
    m.depth_by_kind[i] = kind.total();
    m.ready += kind.ready;
    m.delayed += kind.delayed;
  }
  m.depth = store_.depth().total();
  m.paused = KindMask(state_.paused_kinds);
  m.bytes = store_.bytes() + keys_.bytes();
  m.leases_out = store_.leased_count();
  m.waiters = waiters_.size();
  m.dead_letters = store_.dead_count();
  m.dead_letter_bytes = store_.dead_bytes();
  m.idempotency_keys = keys_.size();
  for (const auto& kind : kinds()) {
    const Entry* head = store_.oldest_ready(kind.kind);
    if (head == nullptr) continue;
    m.oldest_ready_s = std::max(m.oldest_ready_s.value_or(0), seconds(clock_.wall() - head->created_at));
    m.oldest_ready_at = std::min(m.oldest_ready_at.value_or(head->created_at), head->created_at);
  }
  m.counters = state_.counters;
  m.refusals = refusals_;
  m.submits_sync_per_s = submits_sync_.per_second(now);
  m.submits_async_per_s = submits_async_.per_second(now);
  m.submits_per_s = m.submits_sync_per_s + m.submits_async_per_s;
  m.hand_outs_sync_per_s = hand_outs_sync_.per_second(now);
  m.hand_outs_async_per_s = hand_outs_async_.per_second(now);
  m.hand_outs_per_s = m.hand_outs_sync_per_s + m.hand_outs_async_per_s;
  m.submit_latency = submit_latency_.window(now).summary(1e-9);
  m.submit_latency_total = submit_latency_.total().summary(1e-9);
  m.submit_latency_mean_ms = m.submit_latency.mean * 1e3;
  m.fsync_latency = fsync_latency_.window(now).summary(1e-9);
  m.fsync_latency_total = fsync_latency_.total().summary(1e-9);
  m.batch_records = batch_records_.window(now).summary(1);
  if (writer_) {
    m.wal_bytes = segments_.disk_bytes() + pool_->disk_bytes();
    m.wal_live_bytes = segments_.live_bytes();
    m.wal_segments = segments_.size() + pool_->ready().size();
    m.wal_appended_seq = writer_->next_seq() - 1;
    m.wal_durable_seq = writer_->durable_seq() - 1;
    m.wal_batches = m.wal_syncs = writer_->batches_written();
    m.wal_recycles = pool_->recycled();
    if (const auto& stuck = pool_->failure(); stuck && !failure_) {
      m.storage_full = stuck->code == Errc::kStorageFull;
      m.cannot_grow = stuck->to_string();
    }
  }
  m.wal_compactions = compactions_;
  m.wal_torn_bytes = torn_bytes_;
  m.total_processed = state_.counters.taken + state_.counters.acked;
  m.uptime_s = seconds(now - opened_at_);
  m.last_message_at = last_message_at_;
  if (failure_) m.failure = failure_->to_string();
  m.health_parts = health(m, now);
  std::uint32_t lost = 0;
  for (const auto& p : m.health_parts) lost += p.points_lost;
  m.health = lost >= 100 ? 0 : 100 - lost;
  return m;
}

}  // namespace qh::queue
