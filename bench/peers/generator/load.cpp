#include "bench/peers/generator/load.h"

#include <algorithm>
#include <chrono>

namespace qh::bench {

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Tickets::Tickets(const Plan& plan)
    : begin_ns_(now_ns()),
      end_ns_(begin_ns_ + static_cast<std::int64_t>((plan.warm_up_s + plan.seconds) * 1e9)),
      left_(static_cast<std::int64_t>(plan.messages_max)),
      batch_(plan.batch) {}

bool Tickets::one_more(std::int64_t now) {
  if (now >= end_ns_.load(std::memory_order_relaxed)) return false;
  if (left_.fetch_sub(batch_) >= batch_) return true;
  // The first that finds nothing ends the time of all: what the others still have under way is no full load.
  auto end = end_ns_.load();
  while (now < end && !end_ns_.compare_exchange_weak(end, now)) {
  }
  return false;
}

Summary summarize(Seen seen, double warm_up_s, unsigned batch) {
  Summary summary;
  summary.messages = seen.samples.size() * batch;
  const auto whole_ns = seen.end_ns - seen.begin_ns;
  const auto begin_ns = seen.begin_ns + std::min(static_cast<std::int64_t>(warm_up_s * 1e9), whole_ns / 5);
  std::erase_if(seen.samples, [&](const Sample& s) { return s.end_ns < begin_ns || s.end_ns > seen.end_ns; });
  summary.seconds = static_cast<double>(seen.end_ns - begin_ns) * 1e-9;
  if (seen.samples.empty() || summary.seconds <= 0) return summary;
  summary.rate = static_cast<double>(seen.samples.size() * batch) / summary.seconds;
  std::sort(seen.samples.begin(), seen.samples.end(),
            [](const Sample& a, const Sample& b) { return a.latency_ns < b.latency_ns; });
  const auto at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(seen.samples.size()));
    return static_cast<double>(seen.samples[std::min(index, seen.samples.size() - 1)].latency_ns) * 1e-3;
  };
  summary.p50_us = at(0.5);
  summary.p99_us = at(0.99);
  summary.max_us = at(1);
  return summary;
}

}  // namespace qh::bench
