// queue/metrics.h - the figures of one queue, as one value.
//
// Units    times in seconds or milliseconds as named; counters since the queue was made, except those
//          of messages that were only in memory when the process was killed.
// Threads  a value; made by the owner, read by anybody it is handed to.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "queue/message.h"

namespace qh::queue {

/// One reason for points that a queue's health lost.
struct HealthPart {
  std::string name;  ///< "depth", "oldest", "fsync", "refused", "dead_letters", "log"
  double value = 0;
  double good = 0;  ///< no points are lost up to here
  double bad = 0;   ///< all points are lost from here on
  std::uint32_t points_lost = 0;
  std::uint32_t points_max = 0;
};

/// Lifetime counters; durable ones survive a restart exactly.
struct Counters {
  std::uint64_t submitted_sync = 0;
  std::uint64_t submitted_async = 0;
  std::uint64_t taken = 0;
  std::uint64_t leased = 0;
  std::uint64_t acked = 0;
  std::uint64_t nacked = 0;
  std::uint64_t expired_leases = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t dead_retried = 0;
  std::uint64_t dead_evicted = 0;  ///< over the bounds of count, bytes or age
  std::uint64_t removed = 0;       ///< by remove, purge and purge of dead letters
  std::uint64_t duplicates = 0;
  friend bool operator==(const Counters&, const Counters&) = default;
};

/// Messages that were refused since the start of the process: all of a batch, with the reason of the whole.
struct Refusals {
  std::uint64_t queue_full = 0, rate_limited = 0, storage_full = 0, storage_failed = 0, too_large = 0, invalid = 0,
                shutting_down = 0;
  std::uint64_t total() const {
    return queue_full + rate_limited + storage_full + storage_failed + too_large + invalid + shutting_down;
  }
};

struct Metrics {
  std::uint64_t depth = 0;  ///< ready, delayed and leased
  std::array<std::uint64_t, kKindCount> depth_by_kind{};
  KindMask paused;          ///< kinds of which nothing is handed out
  std::uint64_t bytes = 0;  ///< bodies and keys
  std::uint64_t ready = 0, delayed = 0, leases_out = 0, waiters = 0;
  std::uint64_t dead_letters = 0, dead_letter_bytes = 0, idempotency_keys = 0;
  std::optional<double> oldest_ready_s;     ///< empty: nothing is ready
  std::optional<WallTime> oldest_ready_at;  ///< when that one was submitted: it does not move with the clock

  Counters counters;
  Refusals refusals;
  double submits_per_s = 0;  ///< all submits over the last 5 s
  double submits_sync_per_s = 0, submits_async_per_s = 0;
  double hand_outs_per_s = 0;                                  ///< takes and leases
  double hand_outs_sync_per_s = 0, hand_outs_async_per_s = 0;  ///< of durable and of in-memory messages
  double submit_latency_mean_ms = 0;                           ///< sync submits of the last 10 s; 0 without any
  HistogramSummary submit_latency, fsync_latency;              ///< seconds, last 10 s
  HistogramSummary batch_records;                              ///< records a batch, last 10 s
  HistogramSummary submit_latency_total, fsync_latency_total;  ///< since the start of the process

  std::uint64_t wal_bytes = 0, wal_live_bytes = 0, wal_segments = 0;
  std::uint64_t wal_appended_seq = 0, wal_durable_seq = 0;
  std::uint64_t wal_batches = 0, wal_syncs = 0, wal_compactions = 0, wal_torn_bytes = 0;
  std::uint64_t wal_recycles = 0;  ///< segments made of old ones since the start of the process

  std::uint64_t total_processed = 0;  ///< handed out for good: taken and acked
  double uptime_s = 0;
  std::optional<WallTime> last_message_at;
  bool storage_full = false;  ///< the log cannot grow, for want of room on the disk
  std::string cannot_grow;    ///< empty, or why the log cannot grow: then submits are refused sooner or later
  std::string failure;        ///< empty, or why the log has failed
  std::uint32_t health = 100;
  std::vector<HealthPart> health_parts;
};

}  // namespace qh::queue
