#include "queue/engine.h"

#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

// While something waits for the wall clock, it is read at least this often: it may jump.
constexpr auto kWallPoll = std::chrono::milliseconds(500);
/// Messages that become ready, or die, in one tick.
constexpr std::size_t kWallDueAtOnce = 1'000;
/// How often a death is tried again for which the log has no room, where nothing tells of new room.
constexpr auto kDeathRetry = std::chrono::seconds(1);

}  // namespace

std::string_view dead_reason_name(DeadReason reason) {
  return reason == DeadReason::kExpired ? "expired" : "max_deliveries";
}

std::string_view message_state_name(MessageState state) {
  switch (state) {
    case MessageState::kReady:
      return "ready";
    case MessageState::kDelayed:
      return "delayed";
    case MessageState::kLeased:
      return "leased";
    case MessageState::kDead:
      return "dead";
    case MessageState::kGone:
      return "gone";
  }
  return "gone";
}

std::uint64_t Depth::total() const {
  std::uint64_t sum = 0;
  for (const auto& part : by_kind) sum += part.total();
  return sum;
}

Engine::Impl::Impl(Storage& storage, Clock& clock, Rng& rng, Options options, Hooks hooks)
    : options_(std::move(options)),
      storage_(storage),
      clock_(clock),
      rng_(rng),
      hooks_(std::move(hooks)),
      admission_(options_),
      keys_(options_.idempotency_window, options_.idempotency_keys_max) {}

void Engine::Impl::open(wal::RecoveryMode mode, Done<RecoveryReport> done) {
  INVARIANT(engine_state_ == EngineState::kClosed, "an engine is opened once");
  if (auto good = options_.check(); !good) return done(fail(std::move(good.error())));
  engine_state_ = EngineState::kOpening;
  open_task_ = run_open(mode, std::move(done));
  open_task_.start();
}

// -- Time ----------------------------------------------------------------------------------------------------

void Engine::Impl::tick() {
  if (!writer_ || engine_state_ == EngineState::kStopped) return;
  const auto now = clock_.mono();
  while (const auto due = waiters_.due(now)) waiters_.take_out(*due)->give_nothing();
  end_parked(now);
  while (Entry* entry = store_.due_mono(now)) {
    if (entry->state == EntryState::kLeased)
      lease_expired(*entry);
    else
      store_.make_ready(*entry);
  }
  const auto wall = clock_.wall();
  std::size_t due = 0;  // more of them wait for the next tick, which is due at once
  for (Entry* entry = nullptr; due < kWallDueAtOnce && (entry = store_.due_wall(wall)) != nullptr; ++due)
    wall_due(*entry, wall);
  while (const KeyRef key = keys_.due(now)) erase_key(key);
  settle_deaths();
  if (!unwritten_deaths_.empty() && log_ok()) want_more_segments();
  work_retry_job(now);
  admission_.drained(hand_outs_sync_.per_second(now) + hand_outs_async_.per_second(now));
  pool_->tick();
  if (!failure_ && writer_->wants_mark() && now >= last_append_ + options_.idle_mark_after) writer_->mark(mark_in());
  compact();  // keys that ran out may have been all that was alive in a segment
  give_back_space(now);
  if (now >= stop_deadline_ && stop_timed_out_) std::exchange(stop_timed_out_, {})();
  serve_waiters();
}

MonoTime Engine::Impl::next_wakeup() const {
  if (!writer_ || engine_state_ == EngineState::kStopped) return MonoTime::never();
  const auto now = clock_.mono();
  auto next = std::min({waiters_.next(), store_.next_mono(), keys_.next(), pool_->next_wakeup(), stop_deadline_});
  for (const auto& parked : parked_) next = std::min(next, parked.until);
  if (!failure_ && writer_->wants_mark()) next = std::min(next, last_append_ + options_.idle_mark_after);
  if (store_.has_wall_timers()) {
    const auto until = std::clamp(store_.next_wall() - clock_.wall(), Duration(0), Duration(kWallPoll));
    next = std::min(next, now + until);
  }
  if (retry_job_) {
    const Duration turn(static_cast<std::int64_t>(1e9 / retry_job_->per_second) + 1);
    next = std::min(next, std::max(now, retry_job_->last + turn));
  }
  if (!unwritten_deaths_.empty() && log_ok()) next = std::min(next, now + kDeathRetry);
  next = std::min(next, next_compaction());
  if (may_shrink()) next = std::min(next, writer_->may_shrink_at());
  if (store_.dead_count() > 0) next = std::min(next, now + std::chrono::minutes(1));
  return next;
}

// -- The public face -------------------------------------------------------------------------------------------

Engine::Engine(Storage& storage, Clock& clock, Rng& rng, Options options, Hooks hooks)
    : impl_(std::make_unique<Impl>(storage, clock, rng, std::move(options), std::move(hooks))) {}
Engine::~Engine() = default;

void Engine::open(Done<RecoveryReport> done) { impl_->open(wal::RecoveryMode::kOpen, std::move(done)); }
void Engine::open_salvage(Done<RecoveryReport> done) { impl_->open(wal::RecoveryMode::kSalvage, std::move(done)); }
void Engine::open_read_only(Done<RecoveryReport> done) { impl_->open(wal::RecoveryMode::kReadOnly, std::move(done)); }
void Engine::submit(Submission s, Done<Submitted> done) { impl_->submit(std::move(s), std::move(done)); }
void Engine::submit_batch(std::vector<Submission> s, Done<std::vector<Submitted>> done) {
  impl_->submit_batch(std::move(s), std::move(done));
}
void Engine::submit_held(Submission s, Done<Leased> done) { impl_->submit_held(std::move(s), std::move(done)); }
Engine::WaitId Engine::take(HandOut request, Done<std::optional<Taken>> done) {
  return impl_->hand_out({request, std::move(done)});
}
Engine::WaitId Engine::take_batch(HandOut request, std::uint32_t max, Done<std::vector<Taken>> done) {
  return impl_->hand_out({request, std::move(done), max});
}
Engine::WaitId Engine::lease(HandOut request, std::uint32_t max, Duration duration, Done<std::vector<Leased>> done) {
  return impl_->hand_out({request, std::move(done), max, duration});
}
void Engine::cancel(WaitId wait) { impl_->cancel(wait); }
void Engine::ack(std::vector<LeaseId> leases, Done<LeaseOutcome> done) {
  impl_->ack(std::move(leases), std::move(done));
}
void Engine::nack(std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error,
                  Done<LeaseOutcome> done) {
  impl_->nack(std::move(leases), delay, std::move(error), std::move(done));
}
Result<LeaseOutcome> Engine::extend(const std::vector<LeaseId>& leases, Duration duration) {
  return impl_->extend(leases, duration);
}
void Engine::hold(std::vector<LeaseId> leases, Done<LeaseOutcome> done) {
  impl_->hold(std::move(leases), std::move(done));
}
Depth Engine::depth() const { return impl_->store_.depth(); }
std::vector<QueuedMessage> Engine::peek(std::size_t count, KindMask mask,
                                        std::optional<std::pair<Priority, MessageId>> after) const {
  return impl_->peek(count, mask, after);
}
Found Engine::find(MessageId id) const { return impl_->find(id); }
void Engine::each(UniqueFunction<void(const Found& found)> visit) const { impl_->each(std::move(visit)); }
void Engine::remove(MessageId id, Done<bool> done) { impl_->remove(id, std::move(done)); }
void Engine::purge(KindMask mask, Duration older_than, Done<std::uint64_t> done) {
  impl_->purge(mask, older_than, std::move(done));
}
void Engine::pause(KindMask mask, Done<KindMask> done) { impl_->set_paused(mask, {}, std::move(done)); }
void Engine::resume(KindMask mask, Done<KindMask> done) { impl_->set_paused({}, mask, std::move(done)); }
KindMask Engine::paused() const { return KindMask(impl_->state_.paused_kinds); }
std::vector<DeadLetter> Engine::dead_letters(std::optional<DeadPosition> after, std::size_t limit) const {
  return impl_->dead_letters(after, limit);
}
void Engine::retry_dead(MessageId id, Done<std::uint64_t> done) { impl_->retry_dead(id, std::move(done)); }
void Engine::retry_all_dead(double per_second, Done<std::uint64_t> done) {
  impl_->retry_all_dead(per_second, std::move(done));
}
void Engine::purge_dead(MessageId id, Done<std::uint64_t> done) { impl_->purge_dead(id, std::move(done)); }
void Engine::purge_dead_older(Duration older_than, Done<std::uint64_t> done) {
  impl_->purge_dead_older(older_than, std::move(done));
}
void Engine::compact_wal(Done<void> done) { impl_->compact_wal(std::move(done)); }
void Engine::pump() { impl_->pump(); }
void Engine::pump_large() { impl_->pump_large(); }
void Engine::tick() { impl_->tick(); }
MonoTime Engine::next_wakeup() const { return impl_->next_wakeup(); }
void Engine::stop(Done<void> done) { impl_->stop(std::move(done)); }
EngineState Engine::state() const { return impl_->engine_state_; }
const Options& Engine::options() const { return impl_->options_; }
Metrics Engine::metrics() const { return impl_->metrics(); }

}  // namespace qh::queue
