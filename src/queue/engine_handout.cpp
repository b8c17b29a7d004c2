// The engine: what goes out.
#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

constexpr std::array kPriorities = {Priority::kCritical, Priority::kHigh, Priority::kNormal, Priority::kLow};
constexpr std::uint32_t kLeaseMax = 1'000;
constexpr std::size_t kErrorBytesMax = 1'024;
/// Room in the log for one small record in a batch of its own.
constexpr std::uint64_t kHandOutRecordBytes = 128;
/// So many are found to have expired in one call; it hands out nothing then, and the next tick goes on.
constexpr std::size_t kDeathsAtOnce = 1'000;

std::string clipped(std::string text) {
  if (text.size() > kErrorBytesMax) {
    text.resize(kErrorBytesMax);
    while (!text.empty() && !is_utf8(text)) text.pop_back();
  }
  return text;
}

}  // namespace

// Strict priority, unless `fairness` has let enough of a higher class pass.
Entry* Engine::Impl::pick(KindMask mask) {
  mask = mask.without(KindMask(state_.paused_kinds));
  std::array<Entry*, kPriorities.size()> heads{};
  std::size_t deaths_left = kDeathsAtOnce;
  for (std::size_t i = 0; i < kPriorities.size(); ++i) heads[i] = first_alive(mask, kPriorities[i], deaths_left);
  if (deaths_left == 0) return nullptr;
  const auto next_from = [&](std::size_t from) {
    while (from < heads.size() && heads[from] == nullptr) ++from;
    return from;
  };
  auto chosen = next_from(0);
  if (chosen == heads.size()) return nullptr;
  if (options_.fairness == 0) return heads[chosen];
  for (auto lower = next_from(chosen + 1); lower < heads.size() && streak_[chosen] >= options_.fairness;
       lower = next_from(chosen + 1)) {
    streak_[chosen] = 0;
    chosen = lower;
  }
  ++streak_[chosen];
  return heads[chosen];
}

// -- Take ----------------------------------------------------------------------------------------------------

Engine::WaitId Engine::Impl::take(HandOut request, Done<std::optional<Taken>> done, WaitId as) {
  if (auto running = check_running(); !running) {
    done(fail(std::move(running.error())));
    return 0;
  }
  if (blocked(kHandOutRecordBytes, Use::kEnd)) {
    if (as == 0) as = waiters_.new_id();
    auto again = [this, request, as, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        take(request, std::move(d), as);
    };
    wait_for_room(kHandOutRecordBytes, Use::kEnd, std::move(again), as, patience(request));
    return as;
  }
  const bool in_turn = as != 0 || !others_are_first(request.kinds);
  if (Entry* entry = in_turn ? pick(request.kinds) : nullptr; entry != nullptr) {
    give(*entry, std::move(done));
    return 0;
  }
  if (in_turn && request.wait_until <= clock_.mono()) {
    done(std::optional<Taken>());
    return 0;
  }
  if (waiters_.size() >= options_.max_waiters) {
    done(fail(Error(Errc::kQueueFull, "too many calls wait for a message already").about("max_waiters")));
    return 0;
  }
  Waiter waiter;
  waiter.id = as;
  waiter.kinds = request.kinds;
  waiter.until = request.wait_until;
  waiter.take = std::move(done);
  return waiters_.add(std::move(waiter));
}

// The record of the hand-out is durable before anybody sees the message. One that is only in memory needs
// none: after a crash it is gone.
void Engine::Impl::give(Entry& entry, Done<std::optional<Taken>> done) {
  const auto now = clock_.mono_coarse();
  if (!is_logged(entry)) {
    ++state_.counters.taken;
    hand_outs_async_.add(1, now);
    end_entry(entry);
    return done(std::optional<Taken>(Taken(store_.extract(entry))));
  }
  const auto ordinal = append_id(wal::RecordType::kTake, entry.id);
  ++state_.counters.taken;
  hand_outs_sync_.add(1, now);
  end_entry(entry);
  struct Given {  // one allocation
    Taken taken;
    Done<std::optional<Taken>> done;
  };
  when_durable(ordinal, [given = std::make_unique<Given>(Taken(store_.extract(entry)), std::move(done))](
                            const Error* error) mutable {
    if (error != nullptr)
      given->done(fail(*error));
    else
      given->done(std::optional<Taken>(std::move(given->taken)));
  });
}

// -- Lease ---------------------------------------------------------------------------------------------------

Engine::WaitId Engine::Impl::lease(HandOut request, std::uint32_t max, Duration duration,
                                   Done<std::vector<Leased>> done, WaitId as) {
  auto checked = check_running();
  if (checked && (max == 0 || max > kLeaseMax))
    checked = fail(Error(Errc::kInvalid, "max: must be 1 to 1000").about("max"));
  if (checked && (duration < options_.lease_min || duration > options_.lease_max)) {
    checked =
        fail(Error(Errc::kInvalid, fmt::format("duration_ms: must be {} to {}", options_.lease_min.count() / 1'000'000,
                                               options_.lease_max.count() / 1'000'000))
                 .about("duration_ms"));
  }
  if (!checked) {
    done(fail(std::move(checked.error())));
    return 0;
  }
  const auto bytes = std::uint64_t{kHandOutRecordBytes} * max;
  const bool no_ids = !ids_ready({.leases = max});
  if (no_ids || blocked(bytes, Use::kChange)) {
    if (as == 0) as = waiters_.new_id();
    auto again = [this, request, max, duration, as, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        lease(request, max, duration, std::move(d), as);
    };
    if (no_ids)
      wait_for_ids({.leases = max}, std::move(again), as);
    else
      wait_for_room(bytes, Use::kChange, std::move(again), as, patience(request));
    return as;
  }
  const bool in_turn = as != 0 || !others_are_first(request.kinds);
  if (Entry* entry = in_turn ? pick(request.kinds) : nullptr; entry != nullptr) {
    give_leases(*entry, request.kinds, max, duration, std::move(done));
    return 0;
  }
  if (in_turn && request.wait_until <= clock_.mono()) {
    done(std::vector<Leased>());
    return 0;
  }
  if (waiters_.size() >= options_.max_waiters) {
    done(fail(Error(Errc::kQueueFull, "too many calls wait for a message already").about("max_waiters")));
    return 0;
  }
  Waiter waiter;
  waiter.id = as;
  waiter.kinds = request.kinds;
  waiter.until = request.wait_until;
  waiter.max = max;
  waiter.duration = duration;
  waiter.lease = std::move(done);
  return waiters_.add(std::move(waiter));
}

void Engine::Impl::give_leases(Entry& first, KindMask mask, std::uint32_t max, Duration duration,
                               Done<std::vector<Leased>> done) {
  std::vector<LeaseId> leases;
  wal::Ordinal wait_for = 0;
  const auto now = clock_.mono();
  std::uint64_t bytes = 0;
  const auto may_have_more = [&] { return leases.size() < max && bytes < options_.max_batch_bytes; };
  for (Entry* entry = &first; entry != nullptr; entry = may_have_more() ? pick(mask) : nullptr) {
    bytes += entry->body_bytes;
    const LeaseId lease(next_lease_id_++);
    const auto deliveries = static_cast<std::uint16_t>(entry->deliveries + 1);
    if (is_logged(*entry)) {
      const wal::Lease record{entry->id, lease, deliveries};
      wait_for = append(wal::RecordType::kLease, [&](Bytes& out) { wal::encode(record, out); });
    }
    (is_logged(*entry) ? hand_outs_sync_ : hand_outs_async_).add(1, now);
    ++state_.counters.leased;
    entry->deliveries = deliveries;
    store_.make_leased(*entry, lease);
    leases.push_back(lease);
  }
  reserve_ids();
  if (wait_for == 0) return finish_leases(std::move(leases), duration, std::move(done));
  when_durable(wait_for,
               [this, duration, leases = std::move(leases), done = std::move(done)](const Error* error) mutable {
                 if (error != nullptr)
                   done(fail(*error));
                 else
                   finish_leases(std::move(leases), duration, std::move(done));
               });
}

/// The clock of a lease starts when its holder hears of it.
void Engine::Impl::finish_leases(std::vector<LeaseId> leases, Duration duration, Done<std::vector<Leased>> done) {
  std::vector<Leased> given;
  const auto deadline = clock_.mono() + duration;
  const auto deadline_wall = clock_.wall() + duration;
  for (const auto lease : leases) {
    Entry* entry = store_.find(lease);
    if (entry == nullptr) continue;  // given back by a stop
    if (!entry->extra->held) store_.set_lease_deadline(*entry, deadline);
    given.push_back({lease, deadline_wall, store_.describe(*entry)});
  }
  done(std::move(given));
}

// -- Waiters -------------------------------------------------------------------------------------------------

void Engine::Impl::cancel(WaitId wait) {
  const Error cancelled(Errc::kTimeout, "the wait was cancelled");
  if (auto waiter = waiters_.take_out(wait)) return waiter->fail(cancelled);
  const auto cancel_in = [&](auto& calls) {
    const auto found =
        std::find_if(calls.begin(), calls.end(), [&](const auto& c) { return wait != 0 && c.wait == wait; });
    if (found == calls.end()) return false;
    auto again = std::move(found->again);
    calls.erase(found);
    again(&cancelled);
    return true;
  };
  if (!cancel_in(parked_)) cancel_in(waiting_for_ids_);
}

/// Somebody waits already for what a call that comes now would be handed. They are served here; where that goes on
/// already, further down the stack, the call queues up behind them.
bool Engine::Impl::others_are_first(KindMask mask) {
  const auto first = [&] {
    return waiters_.first_for(mask & store_.ready_kinds().without(KindMask(state_.paused_kinds)));
  };
  if (waiters_.size() == 0 || first() == nullptr) return false;
  serve_waiters();
  return first() != nullptr;
}

// Who has waited longest is served first. A completion may call the engine again: that call must not serve
// out of turn.
void Engine::Impl::serve_waiters() {
  if (serving_ || engine_state_ != EngineState::kRunning) return;
  serving_ = true;
  while (waiters_.size() > 0) {
    const auto ready = store_.ready_kinds().without(KindMask(state_.paused_kinds));
    const Waiter* first = ready.empty() ? nullptr : waiters_.first_for(ready);
    if (first == nullptr) break;
    auto waiter = *waiters_.take_out(first->id);
    const auto id = waiter.id;
    const HandOut request{waiter.kinds, waiter.until};
    if (waiter.max == 0)
      take(request, std::move(waiter.take), waiter.id);
    else
      lease(request, waiter.max, waiter.duration, std::move(waiter.lease), waiter.id);
    if (waiters_.has(id)) break;  // much has expired: the next tick goes on
  }
  serving_ = false;
}

// -- Answers to leases -----------------------------------------------------------------------------------------

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
  const auto bytes = std::uint64_t{kHandOutRecordBytes} * leases.size();
  if (blocked(bytes, Use::kEnd)) {
    return wait_for_room(bytes, Use::kEnd,
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
  const auto bytes = (kHandOutRecordBytes + 3 * error.size()) * leases.size();
  const auto use = error.empty() ? Use::kChange : Use::kSubmit;
  if (blocked(bytes, use)) {
    return wait_for_room(
        bytes, use, [this, leases = std::move(leases), delay, error, d = std::move(done)](const Error* e) mutable {
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
  const auto bytes = std::uint64_t{kHandOutRecordBytes} * leases.size();
  if (blocked(bytes, Use::kChange)) {
    return wait_for_room(bytes, Use::kChange,
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
