// The engine and its log: commits, records, ids.
#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kIdBlockMin = 1'024;
constexpr std::uint64_t kIdBlockMax = std::uint64_t{1} << 20;
static_assert(Engine::kPumpLargeBytes >= Storage::kLargeWriteBytes, "what begins so is a large write");

}  // namespace

void Engine::Impl::warn(std::string_view line) {
  if (hooks_.warn) hooks_.warn(line);
}

// -- Commits -----------------------------------------------------------------------------------------------

void Engine::Impl::want_pump() {
  if (std::exchange(pump_wanted_, true)) return;
  last_append_ = clock_.mono();
  if (hooks_.want_pump) hooks_.want_pump();
}

void Engine::Impl::pump() {
  pump_wanted_ = false;
  if (!writer_ || failure_) return;
  if (!unwritten_deaths_.empty()) settle_deaths();
  writer_->pump();
  compact();
}

void Engine::Impl::pump_large() {
  if (writer_ && !failure_ && writer_->could_begin(kPumpLargeBytes)) pump();
}

/// What its caller did since it was appended may have had it written: no other batch would come by to say so.
void Engine::Impl::when_durable(wal::Ordinal ordinal, CommitFn fn) {
  if (failure_) return fn(&*failure_);
  if (ordinal <= durable_ordinal_ && commits_.empty()) return fn(nullptr);
  commits_.push_back({ordinal, std::move(fn)});
  want_pump();
}

wal::Ordinal Engine::Impl::newest_of(wal::Ordinal ordinal) const {
  return commits_.empty() ? ordinal : std::max(ordinal, commits_.back().ordinal);
}

void Engine::Impl::on_durable(wal::Ordinal ordinal) {
  durable_ordinal_ = ordinal;
  last_append_ = durable_at_ = clock_.mono();
  while (!commits_.empty() && commits_.front().ordinal <= ordinal) {
    auto fn = std::move(commits_.front().fn);
    commits_.pop_front();
    fn(nullptr);
  }
  compact();
  on_marked();  // where the mark file was quicker than the log
}

void Engine::Impl::on_marked() {
  give_back_space(clock_.mono());
  if (mark_waiter_) std::exchange(mark_waiter_, {})();
}

void Engine::Impl::on_placed(wal::Ordinal ordinal, std::uint64_t) { segments_.placed(ordinal); }

void Engine::Impl::on_segment_started(const wal::PreparedSegment& segment) {
  segments_.started(segment.index, segment.bytes, 0);
  pool_->want_at_least(segments_.bytes_to_carry());
  if (!unwritten_deaths_.empty()) settle_deaths();
  retry_parked();
}

/// As when a write has failed: which names are durable is not known, and a later sync would not say it.
void Engine::Impl::on_directory_failed(const Error& error) { writer_->fail_by(error); }

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
  for (auto& waiting : std::exchange(waiting_for_ids_, {})) waiting.again(&answer);
  while (const auto* waiter = waiters_.front()) waiters_.take_out(waiter->id)->fail(answer);
  for (auto& request : std::exchange(compact_requests_, {})) request.done(fail(answer));
  if (mark_waiter_) std::exchange(mark_waiter_, {})();
}

// -- Records -----------------------------------------------------------------------------------------------

std::uint32_t Engine::Impl::put_bytes(const Entry& entry) const {
  return wal::put_record_bytes(entry.body_bytes, store_.submitter(entry).size(), entry.key().size(),
                               entry.extra ? entry.extra->last_error.size() : 0, entry.state == EntryState::kDead);
}

wal::Ordinal Engine::Impl::append_put(Entry& entry, std::uint16_t group_left, bool carried) {
  if (entry.state == EntryState::kDead && !is_logged(entry)) append_death(entry);
  wal::Put put;
  put.id = entry.id;
  put.created_at = entry.created_at;
  put.not_before_ms = entry.not_before_ms;
  put.expires_at_ms = entry.expires_at_ms;
  put.deliveries = entry.deliveries;
  put.group_left = group_left;
  put.carried = carried;
  put.submitted_by = store_.submitter(entry);
  put.key = entry.key();
  if (entry.extra) put.last_error = entry.extra->last_error;
  if (entry.state == EntryState::kDead) put.death = wal::Put::Death{entry.extra->reason, entry.extra->died_at_ms};
  put.body = entry.body();
  const auto ordinal = append(wal::RecordType::kPut, [&](Bytes& out) { wal::encode(put, out); });
  if (entry.state == EntryState::kDead) unwritten_deaths_.erase(entry.id);  // it stands in this record
  if (is_logged(entry)) segments_.drop_live(entry.ordinal, entry.record_bytes);
  entry.record_bytes = put_bytes(entry);
  note_put(entry.record_bytes);
  store_.logged(entry, ordinal);
  segments_.add_live(ordinal, entry.record_bytes);
  return ordinal;
}

/// Something has come to the message that its put has to take along: an error text, a death.
void Engine::Impl::measure_again(Entry& entry) {
  if (!is_logged(entry)) return;
  segments_.drop_live(entry.ordinal, entry.record_bytes);
  entry.record_bytes = put_bytes(entry);
  segments_.add_live(entry.ordinal, entry.record_bytes);
  note_put(entry.record_bytes);
}

wal::Ordinal Engine::Impl::append_id(wal::RecordType type, MessageId id) {
  return append(type, [&](Bytes& out) { wal::encode(id, out); });
}

/// It may have to be carried on, also when the disk is full.
void Engine::Impl::note_put(std::uint32_t record_bytes) {
  if (record_bytes <= largest_put_) return;
  largest_put_ = record_bytes;
  if (pool_) pool_->want_to_fit(wal::LogWriter::segment_bytes_to_hold(record_bytes));
}

/// Of a message that is over.
void Engine::Impl::append_key(EndedKey& key) {
  const auto bytes = wal::key_record_bytes(key.key_bytes);
  const wal::Key record{key.id, key.created_at, key.key(), key.kind};
  const auto ordinal = append(wal::RecordType::kKey, [&](Bytes& out) { wal::encode(record, out); });
  if (key.ordinal != 0) segments_.drop_live(key.ordinal, bytes);
  segments_.add_live(ordinal, bytes);
  keys_.logged(key, ordinal);
}

/// Ids that were given to durable messages while a block of ids was still being reserved are given all the same: a
/// segment's header and a state record outlive the puts that would say so. A death counts with its record.
wal::QueueState Engine::Impl::state_now() const {
  auto state = state_;
  state.counters.dead_lettered -= unwritten_deaths_.size();
  // The puts of an import are all there to say so, and those of a cut-off batch were never given.
  if (!options_.ids_by_puts) state.next_message_id = std::max(state.next_message_id, next_message_id_);
  state.next_lease_id = std::max(state.next_lease_id, next_lease_id_);
  return state;
}

wal::Ordinal Engine::Impl::append_state(const wal::QueueState& next) {
  INVARIANT((options_.ids_by_puts || next.next_message_id >= next_message_id_) && next.next_lease_id >= next_lease_id_,
            "ids never go back");
  const auto ordinal = append(wal::RecordType::kState, [&](Bytes& out) { wal::encode_state(next, out); });
  const auto counters = state_.counters;  // with the deaths that no record tells of yet
  state_ = next;
  state_.counters = counters;
  return ordinal;
}

/// The message is over: its put is garbage, its key lives on by itself.
void Engine::Impl::end_entry(Entry& entry) {
  if (is_logged(entry)) segments_.drop_live(entry.ordinal, entry.record_bytes);
  if (entry.key().empty()) return;
  const EndedKey& key = keys_.end(entry);
  if (key.ordinal != 0) segments_.add_live(key.ordinal, wal::key_record_bytes(key.key_bytes));
}

void Engine::Impl::erase_key(KeyRef key) {
  const EndedKey* ended = key.ended();
  if (ended != nullptr && ended->ordinal != 0)
    segments_.drop_live(ended->ordinal, wal::key_record_bytes(ended->key_bytes));
  keys_.erase(key);
}

// -- Ids ---------------------------------------------------------------------------------------------------

bool Engine::Impl::ids_ready(IdsNeeded needed) const {
  return next_message_id_ + needed.messages <= durable_message_ids_ &&
         next_lease_id_ + needed.leases <= durable_lease_ids_;
}

// A new block is asked for when half of the last one is used, or when somebody needs more than is left of it. Blocks
// grow while they do not last.
void Engine::Impl::reserve_ids(IdsNeeded needed) {
  if (options_.ids_by_puts) return;
  const auto margin = id_block_ / 2;
  const bool low = next_message_id_ + std::max(margin, needed.messages) >= state_.next_message_id ||
                   next_lease_id_ + std::max(margin, needed.leases) >= state_.next_lease_id;
  if (reserving_ || !low || !log_ok() || room(kStateRecordBytes, Use::kCompact) != Room::kEnough) return;
  reserving_ = true;
  id_block_ = std::clamp(id_block_ * 4, kIdBlockMin, kIdBlockMax);
  const auto most = std::max(needed.messages, needed.leases);
  id_block_ = std::max(id_block_, most + std::min(most, kIdBlockMax));
  auto next = state_now();
  next.next_message_id = next_message_id_ + id_block_;
  next.next_lease_id = next_lease_id_ + id_block_;
  when_durable(append_state(next), [this, next](const Error* error) {
    reserving_ = false;
    if (error != nullptr) return;
    durable_message_ids_ = next.next_message_id;
    durable_lease_ids_ = next.next_lease_id;
    // Each once: who needs more than there is waits again, behind them. In the answer to one another can be cancelled.
    for (auto left = waiting_for_ids_.size(); left > 0 && !waiting_for_ids_.empty(); --left) {
      auto waiting = std::move(waiting_for_ids_.front());
      waiting_for_ids_.pop_front();
      waiting.again(nullptr);
    }
    reserve_ids();
  });
}

void Engine::Impl::wait_for_ids(IdsNeeded needed, UniqueFunction<void(const Error*)> again, WaitId wait) {
  reserve_ids(needed);
  if (!reserving_) return wait_for_room(kStateRecordBytes, Use::kCompact, std::move(again), wait);
  if (waiting_for_ids_.size() < options_.max_waiters) {
    waiting_for_ids_.push_back({std::move(again), wait});
    return;
  }
  Error error(Errc::kQueueFull, "too many calls wait for ids to be reserved");
  error.subject = "max_waiters";
  error.retry_after_ms = 100;
  again(&error);
}

}  // namespace qh::queue
