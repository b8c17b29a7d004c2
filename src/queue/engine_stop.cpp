// The engine's graceful stop: what is in flight is finished, what is only in memory is written.
#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kStopChunkBytes = 4U << 20;
constexpr std::uint64_t kReturnRecordBytes = 64;
constexpr std::size_t kReturnsAtOnce = 32;

}  // namespace

void Engine::Impl::stop(Done<void> done) {
  if (engine_state_ == EngineState::kFailed) return done(fail(*failure_));
  if (engine_state_ != EngineState::kRunning) return done(fail(Errc::kShuttingDown, "the queue is not running"));
  engine_state_ = EngineState::kStopping;
  retry_job_.reset();
  const Error ending(Errc::kShuttingDown, "the queue is shutting down");
  while (const auto* waiter = waiters_.front()) waiters_.take_out(waiter->id)->fail(ending);
  for (auto& parked : std::exchange(parked_, {})) parked.again(&ending);
  for (auto& waiting : std::exchange(waiting_for_ids_, {})) waiting.again(&ending);
  for (auto& request : std::exchange(compact_requests_, {})) request.done(fail(ending));
  stop_deadline_ = clock_.mono() + options_.stop_within;
  stop_task_ = run_stop(std::move(done));
  stop_task_.start();
}

Task<Result<void>> Engine::Impl::durable(wal::Ordinal ordinal) {
  co_return co_await until<Result<void>>([this, ordinal](auto done) {
    when_durable(newest_of(ordinal), [done = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        done(fail(*error));
      else
        done(Result<void>());
    });
  });
}

/// Waits for it. An error: there will be none, the disk is full.
Task<Result<void>> Engine::Impl::room_for(Size size, Use use) {
  co_return co_await until<Result<void>>([this, size, use](auto done) {
    if (failure_) return done(fail(*failure_));
    if (!blocked(size, use)) return done(Result<void>());
    auto again = [done = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        done(fail(*error));
      else
        done(Result<void>());
    };
    wait_for_room(size, use, std::move(again), 0, MonoTime::never());
  });
}

Task<Result<void>> Engine::Impl::write_out() {
  auto done = co_await durable(last_ordinal_);  // finish what is in flight
  if (!done) co_return done;
  pool_->try_again();  // a disk that was full a moment ago may have room
  co_await write_deaths();
  co_await return_leases();
  const auto there = co_await write_in_memory();
  if (there) {
    co_await write_ended_keys();
    co_await write_exact_state();
  }
  // Of what dies from here on the next start finds the reasons: the mark would never catch up with such records.
  log_ended_ = true;
  done = co_await durable(last_ordinal_);
  const auto lost = there ? 0 : count_in_memory();
  if (!done || lost == 0) co_return done;
  co_return fail(
      Error(there.error()).in(fmt::format("{} messages that were only in memory could not be written", lost)));
}

/// Gives back the ids that were not used, and says what only the counters know. On a full disk a block of it each time
/// would be the takes' room.
Task<void> Engine::Impl::write_exact_state() {
  if (const auto there = co_await room_for(kStateRecordBytes, Use::kOptional); !there) co_return;
  auto exact = state_now();
  exact.next_message_id = next_message_id_;
  exact.next_lease_id = next_lease_id_;
  append_state(exact);
}

std::size_t Engine::Impl::count_in_memory() const {
  std::size_t count = 0;
  store_.each([&](const Entry& entry) { count += !is_logged(entry) && entry.state != EntryState::kPending; });
  return count;
}

/// On a full disk the next start finds the same reasons to die.
Task<void> Engine::Impl::write_deaths() {
  while (!unwritten_deaths_.empty()) {
    const auto id = *unwritten_deaths_.begin();
    const Size size = death_bytes(*store_.find(id));
    const auto there = co_await room_for(size, Use::kChange);
    if (!there) co_return;
    if (unwritten_deaths_.contains(id)) write_death(*store_.find(id));
  }
}

/// A lease is void after a start, written or not: what is not returned was delivered once more. Where that was the last
/// time, the start makes a dead letter of it, so a return may have all but what the compactor needs to go on.
bool Engine::Impl::may_return(Size size, bool last_chance) {
  if (room(size, Use::kChange) == Room::kEnough) return true;
  const auto block = wal::kBlockBytes + size.bytes;
  return last_chance && writer_->room() >= block + carry_room(live_most(0)) + segments_.size() * wal::kBlockBytes;
}

/// Those first that have been delivered most. On a full disk as many as there is room for that takes can do without.
Task<void> Engine::Impl::return_leases() {
  std::vector<std::pair<std::uint16_t, MessageId>> leased;
  store_.each([&](const Entry& entry) {
    if (entry.state == EntryState::kLeased) leased.emplace_back(entry.extra->held ? 0 : entry.deliveries, entry.id);
  });
  std::sort(leased.begin(), leased.end(), std::greater<>());
  const Size chunk(kReturnsAtOnce, kReturnRecordBytes);
  bool there = !leased.empty();
  for (std::size_t i = 0; i < leased.size(); ++i) {
    const auto [deliveries, id] = leased[i];
    if (there && i % kReturnsAtOnce == 0) {
      static_cast<void>(co_await room_for(chunk, Use::kChange));  // the pool has done what it can
      there = !failure_ && may_return(chunk, deliveries >= options_.max_deliveries);
    }
    Entry* entry = store_.find(id);
    if (entry == nullptr || entry->state != EntryState::kLeased) continue;  // time has passed: it ran out
    // A hand-out that the stop cut short is not the message's fault; a held one counts from 0 already.
    if (!entry->extra->held && entry->deliveries > 0) --entry->deliveries;
    const wal::Return back{id, entry->deliveries};
    if (is_logged(*entry) && there) append(wal::RecordType::kReturn, [&](Bytes& out) { wal::encode(back, out); });
    store_.make_ready(*entry);
  }
}

/// As submits: what is durable must not be shut in by what never was.
Task<Result<void>> Engine::Impl::write_in_memory() {
  std::vector<MessageId> in_memory;
  store_.each([&](const Entry& entry) {
    if (!is_logged(entry) && entry.state != EntryState::kPending) in_memory.push_back(entry.id);
  });
  std::sort(in_memory.begin(), in_memory.end());
  std::uint64_t bytes = 0;
  for (const auto id : in_memory) {
    const Entry* found = store_.find(id);
    if (found == nullptr) continue;
    const Size size = put_bytes(*found);
    const auto there = co_await room_for(size, Use::kSubmit);
    if (!there) co_return there;
    Entry* entry = store_.find(id);  // time has passed
    if (entry == nullptr || is_logged(*entry)) continue;
    append_put(*entry, 0, true);
    bytes += entry->record_bytes;
    if (std::exchange(bytes, bytes % kStopChunkBytes) < kStopChunkBytes) continue;
    const auto done = co_await durable(last_ordinal_);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

/// A message that was never in the log may be over; its key lasts all the same, and is alive there as a put is. So, as
/// submits: on a full disk as many as there is room for.
Task<void> Engine::Impl::write_ended_keys() {
  Size all(0);
  keys_.each_ended([&](const EndedKey& key) {
    if (key.ordinal == 0) all += wal::key_record_bytes(key.key_bytes);
  });
  if (all.bytes == 0) co_return;
  static_cast<void>(co_await room_for(all, Use::kSubmit));
  keys_.each_ended([this](EndedKey& key) {
    const auto bytes = wal::key_record_bytes(key.key_bytes);
    if (key.ordinal == 0 && room(bytes, Use::kSubmit) == Room::kEnough) append_key(key);
  });
}

/// One more batch, and a write of the mark file behind it.
Task<Result<void>> Engine::Impl::write_mark() {
  Result<void> done;
  while (done && !failure_ && !writer_->marked()) {
    if (writer_->wants_mark()) writer_->mark(mark_in());
    if (writer_->marked() || failure_) break;
    done = co_await until<Result<void>>([this](auto marked) {
      mark_waiter_ = [this, marked = std::move(marked)]() mutable {
        if (failure_)
          marked(fail(*failure_));
        else
          marked(Result<void>());
      };
    });
  }
  co_return done;
}

Task<void> Engine::Impl::run_stop(Done<void> done) {
  // Whoever comes first answers: the end of the work, or the deadline.
  auto answered = std::make_shared<bool>(false);
  auto answer = std::make_shared<Done<void>>(std::move(done));
  stop_timed_out_ = [this, answered, answer] {
    *answered = true;
    stop_deadline_ = MonoTime::never();
    (*answer)(fail(Errc::kTimeout,
                   "the queue did not stop in time: messages that were only in memory may be lost, what was "
                   "acknowledged as durable is not"));
  };
  auto written = co_await write_out();
  auto marked = co_await write_mark();
  if (written) written = std::move(marked);
  if (*answered) co_return;
  stop_timed_out_ = {};
  stop_deadline_ = MonoTime::never();
  if (engine_state_ == EngineState::kStopping) engine_state_ = EngineState::kStopped;
  (*answer)(std::move(written));
}

}  // namespace qh::queue
