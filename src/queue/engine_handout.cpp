// The engine: what goes out.
#include <algorithm>
#include <cmath>
#include <memory>
#include <variant>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

constexpr std::array kPriorities = {Priority::kCritical, Priority::kHigh, Priority::kNormal, Priority::kLow};
constexpr std::uint32_t kHandOutMax = 1'000;
/// So many are found to have expired in one call; it hands out nothing then, and the next tick goes on.
constexpr std::size_t kDeathsAtOnce = 1'000;

/// In the order of kPriorities.
const std::array<KindMask, kPriorities.size()>& kinds_by_priority() {
  static const auto kKinds = [] {
    std::array<KindMask, kPriorities.size()> of;
    for (const auto& kind : kinds()) {
      const auto* const found = std::ranges::find(kPriorities, kind.priority);
      INVARIANT(found != kPriorities.end(), "each priority is in kPriorities");
      auto& mask = of[static_cast<std::size_t>(found - kPriorities.begin())];
      mask = mask | KindMask::of(kind.kind);
    }
    return of;
  }();
  return kKinds;
}

}  // namespace

// Strict priority, unless `fairness` has let enough of a higher class pass.
Entry* Engine::Impl::pick(KindMask mask) {
  mask = mask.without(KindMask(state_.paused_kinds));
  std::array<Entry*, kPriorities.size()> heads{};
  std::size_t deaths_left = kDeathsAtOnce;
  for (std::size_t i = 0; i < kPriorities.size(); ++i) {
    const auto of_it = mask & kinds_by_priority()[i];
    if (store_.any_ready(of_it)) heads[i] = first_alive(of_it, deaths_left);
  }
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

// -- A call --------------------------------------------------------------------------------------------------

Result<void> Engine::Impl::check_call(const HandOutCall& call) const {
  if (auto running = check_running(); !running) return running;
  if (call.max == 0 || call.max > kHandOutMax)
    return fail(Error(Errc::kInvalid, "max: must be 1 to 1000").about("max"));
  if (!call.is_lease() || (call.duration >= options_.lease_min && call.duration <= options_.lease_max)) return {};
  return fail(Error(Errc::kInvalid, fmt::format("duration_ms: must be {} to {}", options_.lease_min.count() / 1'000'000,
                                                options_.lease_max.count() / 1'000'000))
                  .about("duration_ms"));
}

Engine::WaitId Engine::Impl::hand_out(HandOutCall&& call) {
  auto checked = check_call(call);
  const bool in_turn = call.id != 0 || (checked && !others_are_first(call.request.kinds));
  if (checked) checked = check_running();  // others that were answered there may have stopped the queue
  if (!checked) {
    call.fail(checked.error());
    return 0;
  }
  if (!in_turn) return wait_in_turn(std::move(call));
  if (must_wait_for_log(call)) return wait_for_log(std::move(call));
  if (Entry* entry = pick(call.request.kinds); entry != nullptr) {
    give(*entry, std::move(call));
    return 0;
  }
  if (call.request.wait_until > clock_.mono()) return wait_in_turn(std::move(call));
  call.give_nothing();
  return 0;
}

Engine::Impl::Size Engine::Impl::room_of(const HandOutCall& call) { return {call.max, kHandOutRecordBytes}; }

Engine::Impl::Use Engine::Impl::use_of(const HandOutCall& call) { return call.is_lease() ? Use::kChange : Use::kEnd; }

bool Engine::Impl::must_wait_for_log(const HandOutCall& call) {
  return (call.is_lease() && !ids_ready({.leases = call.max})) || blocked(room_of(call), use_of(call));
}

/// For ids or room; then the call starts over.
Engine::WaitId Engine::Impl::wait_for_log(HandOutCall call) {
  if (call.id == 0) call.id = waiters_.new_id();
  const auto id = call.id;
  const IdsNeeded ids{.leases = call.is_lease() ? call.max : 0};
  const auto size = room_of(call);
  const auto use = use_of(call);
  const auto until = patience(call.request);
  auto again = [this, call = std::move(call)](const Error* error) mutable {
    if (error != nullptr)
      call.fail(*error);
    else
      hand_out(std::move(call));
  };
  if (ids.leases > 0 && !ids_ready(ids))
    wait_for_ids(ids, std::move(again), id);
  else
    wait_for_room(size, use, std::move(again), id, until);
  return id;
}

void Engine::Impl::give(Entry& first, HandOutCall&& call) {
  const auto kinds = call.request.kinds;
  if (auto* one = std::get_if<Done<std::optional<Taken>>>(&call.done))
    give_one(first, std::move(*one));
  else if (auto* batch = std::get_if<Done<std::vector<Taken>>>(&call.done))
    give_batch(first, kinds, call.max, std::move(*batch));
  else
    give_leases(first, kinds, call.max, call.duration, std::get<Done<std::vector<Leased>>>(std::move(call.done)));
}

// -- Take ----------------------------------------------------------------------------------------------------

// The record of the hand-out is durable before anybody sees the message. One that is only in memory needs
// none: after a crash it is gone.
void Engine::Impl::give_one(Entry& entry, Done<std::optional<Taken>> done) {
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

/// One commit for all of them.
void Engine::Impl::give_batch(Entry& first, KindMask mask, std::uint32_t max, Done<std::vector<Taken>> done) {
  std::vector<Taken> taken;
  taken.reserve(std::min<std::uint64_t>(max, store_.depth().total()));
  wal::Ordinal wait_for = 0;
  std::uint64_t bytes = 0;
  const auto now = clock_.mono_coarse();
  const auto may_have_more = [&] { return taken.size() < max && bytes < options_.max_batch_bytes; };
  for (Entry* entry = &first; entry != nullptr; entry = may_have_more() ? pick(mask) : nullptr) {
    bytes += entry->body_bytes;
    const bool logged = is_logged(*entry);
    if (logged) wait_for = append_id(wal::RecordType::kTake, entry->id);
    (logged ? hand_outs_sync_ : hand_outs_async_).add(1, now);
    ++state_.counters.taken;
    end_entry(*entry);
    taken.emplace_back(store_.extract(*entry));
  }
  answer_at(wait_for, std::move(taken), std::move(done));
}

// -- Lease ---------------------------------------------------------------------------------------------------

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

Engine::WaitId Engine::Impl::wait_in_turn(HandOutCall call) {
  if (waiters_.size() < options_.max_waiters) return waiters_.add(std::move(call));
  call.fail(Error(Errc::kQueueFull, "too many calls wait for a message already").about("max_waiters"));
  return 0;
}

void Engine::Impl::cancel(WaitId wait) {
  const Error cancelled(Errc::kTimeout, "the wait was cancelled");
  if (auto call = waiters_.take_out(wait)) return call->fail(cancelled);
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
    const auto* first = ready.empty() ? nullptr : waiters_.first_for(ready);
    if (first == nullptr) break;
    const auto id = first->id;
    hand_out(*waiters_.take_out(id));
    if (waiters_.has(id)) break;  // much has expired: the next tick goes on
  }
  serving_ = false;
}

}  // namespace qh::queue
