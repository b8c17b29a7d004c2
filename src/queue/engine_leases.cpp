// The engine: what becomes of leases.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {
constexpr std::size_t kErrorBytesMax = 1'024;

std::string clipped(std::string text) {
  if (text.size() > kErrorBytesMax) {
    text.resize(kErrorBytesMax);
    while (!text.empty() && !is_utf8(text)) text.pop_back();
  }
  return text;
}
}  // namespace

std::vector<Entry*> Engine::Impl::held_by(const std::vector<LeaseId>& leases, LeaseOutcome& outcome) const {
  std::vector<Entry*> entries;
  boost::unordered_flat_set<std::uint64_t> seen;
  for (const auto lease : leases) {
    Entry* entry = store_.find(lease);
    // The same lease twice in one list counts once.
    if (entry == nullptr || !seen.insert(lease.value()).second)
      outcome.lost.push_back(lease);
    else
      entries.push_back(entry);
  }
  outcome.done = entries.size();
  return entries;
}

void Engine::Impl::ack(std::vector<LeaseId> leases, Done<LeaseOutcome> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  const auto size = Size(leases.size(), kHandOutRecordBytes);
  if (blocked(size, Use::kEnd)) {
    return wait_for_room(size, Use::kEnd,
                         [this, leases = std::move(leases), d = std::move(done)](const Error* error) mutable {
                           if (error != nullptr)
                             d(fail(*error));
                           else
                             ack(std::move(leases), std::move(d));
                         });
  }
  LeaseOutcome outcome;
  wal::Ordinal wait_for = 0;
  for (Entry* entry : held_by(leases, outcome)) {
    if (is_logged(*entry)) wait_for = append_id(wal::RecordType::kAck, entry->id);
    ++state_.counters.acked;
    end_entry(*entry);
    store_.erase(*entry);
  }
  answer_at(wait_for, std::move(outcome), std::move(done));
}

Duration Engine::Impl::nack_delay(std::uint32_t deliveries) {
  const double seconds = std::min(60.0, std::exp2(std::min<std::uint32_t>(deliveries, 6)));
  const double spread = 0.8 + 0.4 * rng_.fraction();
  return Duration(static_cast<std::int64_t>(seconds * spread * 1e9));
}

void Engine::Impl::nack(std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error,
                        Done<LeaseOutcome> done) {
  auto checked = check_running();
  if (checked && delay && (*delay < Duration(0) || *delay > std::chrono::hours(24 * 365))) {
    checked = fail(Error(Errc::kInvalid, "delay_ms: must be 0 to one year").about("delay_ms"));
  }
  if (!checked) return done(fail(std::move(checked.error())));
  error = clipped(std::move(error));
  // The text goes into the record, and with the message wherever it is carried: what the compactor must be left grows
  // by as much, twice where that is from the fullest segment. Where there is no room for that, the nack counts without
  // it.
  const auto size = Size(leases.size(), kHandOutRecordBytes + 3 * error.size());
  const auto use = error.empty() ? Use::kChange : Use::kSubmit;
  if (blocked(size, use)) {
    return wait_for_room(
        size, use, [this, leases = std::move(leases), delay, error, d = std::move(done)](const Error* e) mutable {
          const bool no_room = e != nullptr && (e->code == Errc::kStorageFull || e->code == Errc::kStorageFailed);
          if (e != nullptr && (!no_room || error.empty()))
            d(fail(*e));
          else
            nack(std::move(leases), delay, no_room ? "" : std::move(error), std::move(d));
        });
  }
  LeaseOutcome outcome;
  const auto now = clock_.mono();
  const auto now_wall = clock_.wall();
  wal::Ordinal wait_for = 0;
  for (Entry* entry : held_by(leases, outcome)) {
    const auto wait = delay.value_or(nack_delay(entry->deliveries));
    if (is_logged(*entry)) {
      const std::int64_t ready_at_ms = wait > Duration(0) ? (now_wall + wait).ms() : 0;
      const wal::Nack record{entry->id, entry->deliveries, ready_at_ms, error};
      wait_for = append(wal::RecordType::kNack, [&](Bytes& out) { wal::encode(record, out); });
    }
    ++state_.counters.nacked;
    if (!error.empty()) {
      entry->more().last_error = error;
      measure_again(*entry);
    }
    if (entry->deliveries >= options_.max_deliveries)
      die(*entry, DeadReason::kMaxDeliveries, error.empty() ? "given back by its consumer" : error);
    else if (wait > Duration(0))
      store_.delay_for(*entry, now + wait, now_wall + wait);
    else
      store_.make_ready(*entry);
  }
  settle_deaths();
  answer_at(wait_for == 0 ? 0 : newest_of(wait_for), std::move(outcome), std::move(done));
  serve_waiters();
}

Result<LeaseOutcome> Engine::Impl::extend(const std::vector<LeaseId>& leases, Duration duration) {
  if (auto running = check_running(); !running) return fail(std::move(running.error()));
  if (duration < options_.lease_min || duration > options_.lease_max) {
    return fail(
        Error(Errc::kInvalid, fmt::format("duration_ms: must be {} to {}", options_.lease_min.count() / 1'000'000,
                                          options_.lease_max.count() / 1'000'000))
            .about("duration_ms"));
  }
  LeaseOutcome outcome;
  const auto deadline = clock_.mono() + duration;
  for (Entry* entry : held_by(leases, outcome)) {
    if (!entry->extra->held) store_.set_lease_deadline(*entry, deadline);
  }
  return outcome;
}

void Engine::Impl::hold(std::vector<LeaseId> leases, Done<LeaseOutcome> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  const auto size = Size(leases.size(), kHandOutRecordBytes);
  if (blocked(size, Use::kChange)) {
    return wait_for_room(size, Use::kChange,
                         [this, leases = std::move(leases), d = std::move(done)](const Error* error) mutable {
                           if (error != nullptr)
                             d(fail(*error));
                           else
                             hold(std::move(leases), std::move(d));
                         });
  }
  LeaseOutcome outcome;
  wal::Ordinal wait_for = 0;
  for (Entry* entry : held_by(leases, outcome)) {
    if (is_logged(*entry)) wait_for = append_id(wal::RecordType::kHold, entry->id);
    entry->deliveries = 0;
    store_.hold(*entry);
  }
  answer_at(wait_for, std::move(outcome), std::move(done));
}

/// A lease that ran out: back in its place, or dead after too many. True: it is ready again.
void Engine::Impl::lease_expired(Entry& entry) {
  ++state_.counters.expired_leases;
  if (entry.deliveries >= options_.max_deliveries) {
    const auto& last = entry.extra->last_error;
    to_dead(entry, DeadReason::kMaxDeliveries, last.empty() ? "its lease ran out" : last);
  } else {
    store_.make_ready(entry);
  }
}

}  // namespace qh::queue
