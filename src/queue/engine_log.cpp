// The engine and its log: room, commits, ids, compaction.
#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kIdBlockMin = 1'024;
constexpr std::uint64_t kIdBlockMax = std::uint64_t{1} << 20;
// Carried in one go: little enough that a submit behind it does not wait long.
constexpr std::uint64_t kCarryBytes = 128U << 10;
// Room for the records that move the head and reserve ids, whatever else goes on.
constexpr std::uint64_t kStateRecordBytes = 4 * wal::kBlockBytes;

}  // namespace

void Engine::Impl::warn(std::string_view line) {
  if (hooks_.warn) hooks_.warn(line);
}

// -- Room --------------------------------------------------------------------------------------------------

Engine::Impl::Room Engine::Impl::room(std::uint64_t bytes, Use use) const {
  const bool failing = pool_->failure().has_value();
  std::size_t keep = 0;
  if (use == Use::kSubmit) keep = failing ? 2 : 1;
  auto needed = bytes + (use == Use::kCompact ? 0 : kStateRecordBytes);
  if (use == Use::kEnd && !failing) keep = 1;
  // Submits have left the ready segments alone since the first failure: those are for what makes room, all of
  // them but a rest for starts and for moving the head.
  if (use == Use::kEnd && failing) needed += std::min(kCarryBytes, writer_->segment_bytes() / 4);
  if (writer_->room(keep) >= needed) return Room::kEnough;
  if (failing) return Room::kNone;
  // Everything that will ever be ready is ready: waiting would not help a batch as large as a segment.
  const bool all_ready = pool_->ready().size() >= wal::SegmentPool::kReadyTarget;
  return all_ready && writer_->room(0) >= needed ? Room::kEnough : Room::kWait;
}

Error Engine::Impl::no_room() const {
  Error error = *pool_->failure();
  error.code = error.code == Errc::kStorageFull ? Errc::kStorageFull : Errc::kStorageFailed;
  return std::move(error).in("the log cannot grow");
}

bool Engine::Impl::blocked(std::uint64_t bytes, Use use) const {
  return (use == Use::kSubmit && !parked_.empty()) || room(bytes, use) != Room::kEnough;
}

void Engine::Impl::wait_for_room(std::uint64_t bytes, Use use, UniqueFunction<void(const Error*)> again) {
  if (room(bytes, use) == Room::kNone) {
    const Error error = no_room();
    return again(&error);
  }
  if (parked_.size() >= options_.max_waiters) {
    Error error(Errc::kQueueFull, "the log is behind and too many calls wait for it already");
    error.subject = "max_waiters";
    error.retry_after_ms = 100;
    return again(&error);
  }
  parked_.push_back({bytes, use, std::move(again)});
}

void Engine::Impl::retry_parked() {
  while (!parked_.empty()) {
    const auto found = room(parked_.front().bytes, parked_.front().use);
    if (found == Room::kWait) return;
    Parked parked = std::move(parked_.front());
    parked_.pop_front();
    if (found == Room::kNone) {
      const Error error = no_room();
      parked.again(&error);
    } else {
      // The call starts over; it must not queue up behind those that wait.
      auto rest = std::exchange(parked_, {});
      parked.again(nullptr);
      const bool waits_again = !parked_.empty();
      for (auto& later : parked_) rest.push_back(std::move(later));
      parked_ = std::move(rest);
      if (waits_again) return;
    }
  }
}

void Engine::Impl::pool_changed() {
  if (!writer_) return;
  writer_->pump();
  retry_parked();
  check_compact_requests();
}

// -- Commits -----------------------------------------------------------------------------------------------

void Engine::Impl::want_pump() {
  last_append_ = clock_.mono();
  if (std::exchange(pump_wanted_, true)) return;
  if (hooks_.want_pump) hooks_.want_pump();
}

void Engine::Impl::pump() {
  pump_wanted_ = false;
  if (!writer_ || failure_) return;
  writer_->pump();
  compact();
}

void Engine::Impl::when_durable(wal::Ordinal ordinal, CommitFn fn) {
  if (failure_) return fn(&*failure_);
  commits_.push_back({ordinal, std::move(fn)});
  want_pump();
}

wal::Ordinal Engine::Impl::newest_of(wal::Ordinal ordinal) const {
  return commits_.empty() ? ordinal : std::max(ordinal, commits_.back().ordinal);
}

void Engine::Impl::on_durable(wal::Ordinal ordinal) {
  durable_ordinal_ = ordinal;
  last_append_ = clock_.mono();
  while (!commits_.empty() && commits_.front().ordinal <= ordinal) {
    auto fn = std::move(commits_.front().fn);
    commits_.pop_front();
    fn(nullptr);
  }
  compact();
  if (mark_waiter_) std::exchange(mark_waiter_, {})();
}

void Engine::Impl::on_placed(wal::Ordinal ordinal, std::uint64_t) { segments_.placed(ordinal); }

void Engine::Impl::on_segment_started(const wal::PreparedSegment& segment) {
  segments_.started(segment.index, segment.bytes, 0);
  retry_parked();
}

void Engine::Impl::on_batch_written(std::uint32_t records, Duration took) {
  const auto now = clock_.mono();
  fsync_latency_.record(static_cast<std::uint64_t>(took.count()), now);
  batch_records_.record(records, now);
}

// Final: a write whose fate is unknown must not be followed by others that are acknowledged.
void Engine::Impl::on_failed(const Error& error) {
  Error final = error;
  final.code = Errc::kStorageFailed;
  const Error told = std::move(final).in("the log has failed and stays so until a restart");
  failure_ = told;
  engine_state_ = EngineState::kFailed;
  warn(told.to_string());
  const Error answer = told;
  for (auto& commit : std::exchange(commits_, {})) commit.fn(&answer);
  for (auto& parked : std::exchange(parked_, {})) parked.again(&answer);
  for (auto& waiting : std::exchange(waiting_for_ids_, {})) waiting(&answer);
  while (const auto* waiter = waiters_.front()) waiters_.take_out(waiter->id)->fail(answer);
  for (auto& request : std::exchange(compact_requests_, {})) request.done(fail(answer));
  if (mark_waiter_) std::exchange(mark_waiter_, {})();
}

// -- Records -----------------------------------------------------------------------------------------------

std::uint32_t Engine::Impl::put_bytes(const Entry& entry) const {
  return wal::put_record_bytes(entry.body.size(), store_.submitter(entry).size(), entry.key ? entry.key->key.size() : 0,
                               entry.extra ? entry.extra->last_error.size() : 0, entry.state == EntryState::kDead);
}

wal::Ordinal Engine::Impl::append_put(Entry& entry, std::uint16_t group_left, bool carried) {
  wal::Put put;
  put.id = entry.id;
  put.created_at = entry.created_at;
  put.not_before_ms = entry.not_before_ms;
  put.expires_at_ms = entry.expires_at_ms;
  put.deliveries = entry.deliveries;
  put.group_left = group_left;
  put.carried = carried;
  put.submitted_by = store_.submitter(entry);
  if (entry.key != nullptr) put.key = entry.key->key;
  if (entry.extra) put.last_error = entry.extra->last_error;
  if (entry.state == EntryState::kDead) put.death = wal::Put::Death{entry.extra->reason, entry.extra->died_at_ms};
  put.body = entry.body.view();
  const auto ordinal = append(wal::RecordType::kPut, [&](Bytes& out) { wal::encode(put, out); });
  if (is_logged(entry)) segments_.drop_live(entry.ordinal, entry.record_bytes);
  entry.record_bytes = put_bytes(entry);
  store_.logged(entry, ordinal);
  segments_.add_live(ordinal, entry.record_bytes);
  if (entry.key != nullptr) keys_.logged(*entry.key, ordinal);
  return ordinal;
}

wal::Ordinal Engine::Impl::append_id(wal::RecordType type, MessageId id) {
  return append(type, [&](Bytes& out) { wal::encode(id, out); });
}

wal::Ordinal Engine::Impl::append_state(const wal::QueueState& next) {
  const auto ordinal = append(wal::RecordType::kState, [&](Bytes& out) { wal::encode_state(next, out); });
  state_ = next;
  return ordinal;
}

/// The message is over: its put is garbage, its key lives on by itself.
void Engine::Impl::end_entry(Entry& entry) {
  if (is_logged(entry)) segments_.drop_live(entry.ordinal, entry.record_bytes);
  if (entry.key == nullptr) return;
  entry.key->message = nullptr;
  if (entry.key->ordinal != 0) segments_.add_live(entry.key->ordinal, wal::key_record_bytes(entry.key->key.size()));
  entry.key = nullptr;
}

void Engine::Impl::erase_key(KeyEntry& key) {
  if (key.message != nullptr) {
    key.message->key = nullptr;
  } else if (key.ordinal != 0) {
    segments_.drop_live(key.ordinal, wal::key_record_bytes(key.key.size()));
  }
  keys_.erase(key);
}

// -- Ids ---------------------------------------------------------------------------------------------------

bool Engine::Impl::ids_ready(std::uint64_t count, bool leases) const {
  return leases ? next_lease_id_ + count <= durable_lease_ids_ : next_message_id_ + count <= durable_message_ids_;
}

// A new block is asked for when half of the last one is used. Blocks grow while they do not last.
void Engine::Impl::reserve_ids() {
  const bool low = next_message_id_ + id_block_ / 2 >= state_.next_message_id ||
                   next_lease_id_ + id_block_ / 2 >= state_.next_lease_id;
  if (reserving_ || !low || !log_ok() || room(kStateRecordBytes, Use::kCompact) != Room::kEnough) return;
  reserving_ = true;
  id_block_ = std::clamp(id_block_ * 4, kIdBlockMin, kIdBlockMax);
  auto next = state_;
  next.next_message_id = next_message_id_ + id_block_;
  next.next_lease_id = next_lease_id_ + id_block_;
  when_durable(append_state(next), [this, next](const Error* error) {
    reserving_ = false;
    if (error != nullptr) return;
    durable_message_ids_ = next.next_message_id;
    durable_lease_ids_ = next.next_lease_id;
    for (auto& waiting : std::exchange(waiting_for_ids_, {})) waiting(nullptr);
    reserve_ids();
  });
}

void Engine::Impl::wait_for_ids(UniqueFunction<void(const Error*)> again) {
  reserve_ids();
  if (reserving_ && waiting_for_ids_.size() < options_.max_waiters) {
    waiting_for_ids_.push_back(std::move(again));
    return;
  }
  Error error(Errc::kQueueFull, "too many calls wait for ids to be reserved");
  error.subject = "max_waiters";
  error.retry_after_ms = 100;
  if (!reserving_ && pool_->failure()) error = no_room();
  again(&error);
}

// -- Compaction --------------------------------------------------------------------------------------------
//
// The log is a ring: what is alive in its oldest segment is appended again, then the segment is let go.
// Puts therefore always leave before, or with, the records that end them, and space is bounded by
// twice the live bytes with at most one copied byte for each written one (docs/adr/0005).

bool Engine::Impl::should_compact() const {
  const auto* head = segments_.head();
  if (head == nullptr || head_moving_) return false;
  if (!compact_requests_.empty() && head->index <= compact_requests_.back().through_segment) return true;
  if (head->live_bytes * 4 < head->bytes) return true;
  return segments_.sealed_bytes() > 2 * segments_.live_bytes() + writer_->segment_bytes() / 2;
}

void Engine::Impl::compact() {
  if (engine_state_ != EngineState::kRunning || !writer_ || !should_compact()) return;
  const auto* head = segments_.head();
  if (head->live_bytes == 0) return advance_head();
  // One go at a time, so that submits get their turn; and only what surely fits.
  if (writer_->has_pending() || writer_->room(0) < head->live_bytes + kStateRecordBytes + kCarryBytes) return;
  carry_head();
}

void Engine::Impl::carry_head() {
  const auto through = segments_.head()->last_ordinal;
  std::uint64_t carried = 0;
  for (Entry* entry = store_.oldest_logged(); entry != nullptr && entry->ordinal <= through && carried < kCarryBytes;
       entry = store_.oldest_logged()) {
    append_put(*entry, 0, true);
    carried += entry->record_bytes;
  }
  for (KeyEntry* key = keys_.oldest_logged(); key != nullptr && key->ordinal <= through && carried < kCarryBytes;
       key = keys_.oldest_logged()) {
    INVARIANT(key->message == nullptr, "the key of a message in the queue moves with the message");
    const auto bytes = wal::key_record_bytes(key->key.size());
    const wal::Key record{key->id, key->created_at, key->key, key->kind};
    const auto ordinal = append(wal::RecordType::kKey, [&](Bytes& out) { wal::encode(record, out); });
    segments_.drop_live(key->ordinal, bytes);
    segments_.add_live(ordinal, bytes);
    keys_.logged(*key, ordinal);
    carried += bytes;
  }
}

void Engine::Impl::advance_head() {
  if (room(kStateRecordBytes, Use::kCompact) != Room::kEnough) return;
  head_moving_ = true;
  const wal::RetiredSegment dead{segments_.head()->index, segments_.head()->bytes};
  auto next = state_;
  next.head_segment = segments_.second().index;
  when_durable(append_state(next), [this, dead](const Error* error) {
    head_moving_ = false;
    if (error != nullptr) return;
    segments_.drop_head();
    ++compactions_;
    if (std::erase(damaged_segments_, dead.index) > 0)
      pool_->keep_damaged(dead);
    else
      pool_->retire(dead);
    check_compact_requests();
    compact();
  });
}

void Engine::Impl::compact_wal(Done<void> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  const auto* head = segments_.head();
  compact_requests_.push_back({head == nullptr ? 0 : segments_.current() - 1, std::move(done)});
  check_compact_requests();
  compact();
}

void Engine::Impl::check_compact_requests() {
  if (compact_requests_.empty()) return;
  const auto* head = segments_.head();
  if (head != nullptr && head->index <= compact_requests_.back().through_segment) return;
  if (!pool_->idle() && !pool_->failure()) return;
  for (auto& request : std::exchange(compact_requests_, {})) {
    if (pool_->failure())
      request.done(fail(no_room()));
    else
      request.done({});
  }
}

}  // namespace qh::queue
