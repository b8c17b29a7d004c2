// The engine: from the log back to memory.
#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {
constexpr std::uint64_t kFirstRecordBytes = 4 * wal::kBlockBytes;
// A lost record may have reserved as many ids; how many records are lost is not always known.
constexpr std::uint64_t kIdsLostRecordMax = std::uint64_t{1} << 20;
constexpr std::uint64_t kIdsLostMax = std::uint64_t{1} << 40;
}  // namespace

void Engine::Impl::on_segment(const wal::SegmentOnDisk& segment) {
  segments_.started(segment.index, segment.bytes, segment.ordinal);
}

// The ceilings may go down: a stop gives back the ids that it did not use.
void Engine::Impl::on_state(const wal::QueueState& state) { state_ = state; }

// Ids of lost records must not be given again. The next state that can be read sets it right. A batch of which a part
// is lost was whole once, and acknowledged: what is left of it is kept.
void Engine::Impl::on_gap(std::uint64_t from_seq, std::uint64_t to_seq) {
  open_group_.clear();
  open_group_left_ = 0;
  const auto lost = to_seq >= from_seq ? to_seq - from_seq + 1 : kIdsLostMax;
  const auto skip = std::min(kIdsLostMax, std::min(lost, kIdsLostMax / kIdsLostRecordMax) * kIdsLostRecordMax);
  state_.next_message_id += skip;
  state_.next_lease_id += skip;
}

/// Of a message that may be submitted, or, where an earlier configuration allowed more, of one that is there.
std::uint32_t Engine::Impl::largest_body() const {
  auto largest = options_.max_message_bytes;
  if (largest_replayed_ <= largest) return largest;
  store_.each([&](const Entry& entry) { largest = std::max(largest, entry.body_bytes); });
  return largest;
}

// On a full disk those that an earlier configuration made ready may be all that there is.
std::uint64_t Engine::Impl::prepared_bytes_min() const {
  return std::max(wal::LogWriter::segment_bytes_to_hold(largest_put_), wal::kSegmentBytesLeast);
}

std::uint64_t Engine::Impl::segment_bytes_min() const {
  const auto largest = largest_body();
  if (largest == options_.max_message_bytes) return options_.segment_bytes_min;
  return std::max(options_.segment_bytes_min, segment_bytes_for(largest));
}

// A batch submit whose last put never got to the disk has never been acknowledged: none of it counts.
void Engine::Impl::drop_open_group() {
  for (Entry* entry : open_group_) {
    --state_.counters.submitted_sync;
    if (!entry->key().empty()) erase_key(KeyRef(*entry));
    end_entry(*entry);
    store_.erase(*entry);
  }
  if (!open_group_.empty()) ++lost_groups_;
  open_group_.clear();
  open_group_left_ = 0;
}

Result<void> Engine::Impl::on_record(const wal::RecordView& record, wal::Ordinal ordinal) {
  if (record.type == wal::RecordType::kPut) {
    const auto put = wal::decode_put(record.payload);
    if (!put) return fail(Errc::kCorrupt, "a put record that this program cannot read");
    // A carried put is never one of a batch, though it may follow one that was cut.
    if (!open_group_.empty() && (put->carried || put->group_left != open_group_left_ - 1)) drop_open_group();
    return replay_put(*put, ordinal, record.bytes);
  }
  drop_open_group();
  if (record.type == wal::RecordType::kState) {
    const auto state = wal::decode_state(record.payload);
    if (!state) return fail(state.error());
    on_state(*state);
    return {};
  }
  if (record.type == wal::RecordType::kKey) {
    const auto key = wal::decode_key(record.payload);
    if (!key) return fail(Errc::kCorrupt, "a key record that this program cannot read");
    const KeyRef known = replayed_key(key->key, key->id);
    if (known && known.message() != nullptr) return {};  // what ended it is lost (salvage): it has its key itself
    EndedKey& ended = known ? *known.ended()
                            : keys_.add_ended(key->key, key->id, key->kind, key->created_at,
                                              clock_.wall() - key->created_at, clock_.mono());
    const auto bytes = wal::key_record_bytes(key->key.size());
    if (ended.ordinal != 0) segments_.drop_live(ended.ordinal, bytes);
    segments_.add_live(ordinal, bytes);
    keys_.logged(ended, ordinal);
    return {};
  }
  return replay_change(record);
}

/// What the window has of this key for this message. A key may come again for another one once its window was over.
KeyRef Engine::Impl::replayed_key(std::string_view key, MessageId id) {
  const KeyRef known = keys_.find(key);
  if (!known || known.id() == id) return known;
  erase_key(known);
  return {};
}

Result<void> Engine::Impl::replay_put(const wal::Put& put, wal::Ordinal ordinal, std::uint32_t bytes) {
  Entry* entry = put.id > newest_replayed_ ? nullptr : store_.find(put.id);
  const bool was_there = entry != nullptr;
  newest_replayed_ = std::max(newest_replayed_, put.id);
  largest_replayed_ = std::max(largest_replayed_, static_cast<std::uint32_t>(put.body.size()));
  if (was_there) {
    // Carried forward by compaction: the same message, as it stood then.
    segments_.drop_live(entry->ordinal, entry->record_bytes);
  } else {
    entry = &add(put.id, put.body, put.key, put.created_at, put.submitted_by);
    if (!put.carried) ++state_.counters.submitted_sync;
    if (!put.key.empty()) {
      if (const KeyRef known = replayed_key(put.key, put.id)) erase_key(known);  // of a record before it
      keys_.add(*entry, clock_.wall() - put.created_at, clock_.mono());
    }
  }
  entry->not_before_ms = put.not_before_ms;
  entry->expires_at_ms = put.expires_at_ms;
  entry->deliveries = put.deliveries;
  entry->record_bytes = bytes;
  largest_put_ = std::max(largest_put_, bytes);
  store_.logged(*entry, ordinal);
  segments_.add_live(ordinal, bytes);
  state_.next_message_id = std::max(state_.next_message_id, put.id.value() + 1);
  if (entry->extra || !put.last_error.empty()) entry->more().last_error = put.last_error;
  if (put.key.empty() && !entry->key().empty()) erase_key(KeyRef(*entry));  // its window was over by then
  if (put.death && entry->state != EntryState::kDead) {
    // No record of its own told of the death of a message that was known until then: there was no room for one.
    if (was_there) ++state_.counters.dead_lettered;
    store_.make_dead(*entry, put.death->reason, WallTime::from_ms(put.death->at_ms));
  }
  if (put.group_left > 0)
    open_group_.push_back(entry);
  else
    open_group_.clear();
  open_group_left_ = put.group_left;
  return {};
}

void Engine::Impl::replay_end(Entry& entry) {
  end_entry(entry);
  store_.erase(entry);
}

// Records about a message that is gone already are of a segment whose puts were carried on or ended.
Result<void> Engine::Impl::replay_change(const wal::RecordView& record) {
  using wal::RecordType;
  auto& counters = state_.counters;
  const auto unreadable = [&] {
    return fail(Errc::kCorrupt,
                fmt::format("a {} record that this program cannot read", wal::record_type_name(record.type)));
  };
  if (record.type == RecordType::kLease) {
    const auto lease = wal::decode_lease(record.payload);
    if (!lease) return unreadable();
    ++counters.leased;
    state_.next_lease_id = std::max(state_.next_lease_id, lease->lease.value() + 1);
    if (Entry* entry = store_.find(lease->id)) {
      entry->deliveries = lease->deliveries;
      entry->not_before_ms = 0;
    }
    return {};
  }
  if (record.type == RecordType::kNack) {
    const auto nack = wal::decode_nack(record.payload);
    if (!nack) return unreadable();
    ++counters.nacked;
    if (Entry* entry = store_.find(nack->id)) {
      entry->deliveries = nack->deliveries;
      entry->not_before_ms = nack->ready_at_ms;
      if (!nack->error.empty()) entry->more().last_error = nack->error;
      measure_again(*entry);
    }
    return {};
  }
  if (record.type == RecordType::kReturn) {
    const auto back = wal::decode_return(record.payload);
    if (!back) return unreadable();
    if (Entry* entry = store_.find(back->id)) entry->deliveries = back->deliveries;
    return {};
  }
  if (record.type == RecordType::kDead) {
    const auto dead = wal::decode_dead(record.payload);
    if (!dead) return unreadable();
    ++counters.dead_lettered;
    Entry* entry = store_.find(dead->id);
    if (entry == nullptr || entry->state == EntryState::kDead) return {};
    entry->more().last_error = dead->error;
    store_.make_dead(*entry, dead->reason, WallTime::from_ms(dead->at_ms));
    measure_again(*entry);
    return {};
  }
  const auto id = wal::decode_id(record.payload);
  if (!id) return unreadable();
  Entry* entry = store_.find(*id);
  switch (record.type) {
    case RecordType::kTake:
      ++counters.taken;
      if (entry != nullptr) replay_end(*entry);
      return {};
    case RecordType::kAck:
      ++counters.acked;
      if (entry != nullptr) replay_end(*entry);
      return {};
    case RecordType::kRemove:
      ++counters.removed;
      if (entry != nullptr) replay_end(*entry);
      return {};
    case RecordType::kEvict:
      ++counters.dead_evicted;
      if (entry != nullptr) replay_end(*entry);
      return {};
    case RecordType::kHold:
      if (entry != nullptr) entry->deliveries = 0;
      return {};
    case RecordType::kRevive:
      ++counters.dead_retried;
      if (entry == nullptr || entry->state != EntryState::kDead) return {};
      entry->deliveries = 0;
      entry->expires_at_ms = 0;
      store_.make_ready(*entry);
      return {};
    default:
      return unreadable();
  }
}

// Leases are void. Who was handed out too often, by starts that a crash cut short, is dead now, and so is what has
// expired: nobody can be handed it before the first tick.
void Engine::Impl::settle_after_replay() {
  keys_.sort();
  // All of them are in the log, and its order is that of their ids but for what was carried on.
  std::vector<std::pair<MessageId, Entry*>> entries;
  entries.reserve(store_.messages());
  store_.each_logged([&](Entry& entry) {
    if (entry.state != EntryState::kDead) entries.emplace_back(entry.id, &entry);
  });
  if (!std::is_sorted(entries.begin(), entries.end())) std::sort(entries.begin(), entries.end());
  const auto now = clock_.wall();
  for (const auto& [id, entry] : entries) {
    if (entry->deliveries >= options_.max_deliveries) {
      const auto* last = entry->extra ? &entry->extra->last_error : nullptr;
      to_dead(*entry, DeadReason::kMaxDeliveries,
              last == nullptr || last->empty() ? "its consumer, or the node, ended before it answered" : *last);
    } else if (has_expired(*entry, now)) {
      to_dead(*entry, DeadReason::kExpired, expiry_text(*entry));
    } else if (entry->not_before_ms > now.ms()) {
      store_.delay_until(*entry, WallTime::from_ms(entry->not_before_ms));
    } else {
      store_.make_ready(*entry);
    }
  }
}

/// For a look that changes nothing: what a start would turn into dead letters is ready still.
void Engine::Impl::settle_read_only() {
  drop_open_group();
  const auto now = clock_.wall();
  std::vector<Entry*> entries;
  store_.each([&](Entry& entry) {
    if (entry.state != EntryState::kDead) entries.push_back(&entry);
  });
  for (Entry* entry : entries) {
    if (entry->not_before_ms > now.ms())
      store_.delay_until(*entry, WallTime::from_ms(entry->not_before_ms));
    else
      store_.make_ready(*entry);
  }
  engine_state_ = EngineState::kStopped;
}

void Engine::Impl::note_salvage(const wal::Recovered& recovered) {
  for (const auto& name : recovered.damaged_files) {
    if (const auto index = wal::segment_index(name)) damaged_segments_.push_back(*index);
  }
  // The new segment's header says where the log starts until its state records say more.
  state_.head_segment =
      recovered.segments.empty() ? recovered.start.segment.index + 1 : recovered.segments.front().index;
}

void Engine::Impl::start_log(wal::Recovered& recovered) {
  auto& start = recovered.start;
  const auto last = start.segment.index;
  for (const auto& segment : recovered.prepared) pool_->adopt(segment);
  durable_ordinal_ = last_ordinal_ = start.next_ordinal - 1;
  state_.next_message_id = std::max(state_.next_message_id, newest_replayed_.value() + 1);
  next_message_id_ = state_.next_message_id;
  next_lease_id_ = state_.next_lease_id;
  writer_->start(std::move(start));
  writer_->fit_batches_into(segments_.smallest());
  for (const auto& segment : recovered.prepared) writer_->fit_batches_into(segment.bytes);
  for (const auto& segment : recovered.retired) writer_->fit_batches_into(segment.bytes);
  pool_->want_at_least(segments_.bytes_to_carry());
  for (const auto& segment : recovered.retired) pool_->retire(segment);
  tell_pool();
  pool_->start(last + 1);
}

Task<void> Engine::Impl::run_open(wal::RecoveryMode mode, Done<RecoveryReport> done) {
  wal::Recovery recovery(storage_, clock_, rng_, options_, *this, mode);
  auto recovered = co_await recovery.run();
  if (!recovered) {
    engine_state_ = EngineState::kStopped;
    done(fail(Error(recovered.error()).in("open the queue")));
    co_return;
  }
  auto report = recovered->report;
  report.lost = recovered->lost;
  report.damaged_files = recovered->damaged_files;
  if (mode == wal::RecoveryMode::kReadOnly) {
    settle_read_only();
    report.messages = store_.depth().total();
    report.dead_letters = store_.dead_count();
    done(std::move(report));
    co_return;
  }
  if (mode == wal::RecoveryMode::kSalvage) note_salvage(*recovered);
  largest_carried_ = largest_body();
  const auto segment_min = segment_bytes_min();
  if (segment_min > options_.segment_bytes_min) {
    report.notes.push_back(fmt::format(
        "the log has a message of {} bytes, more than max_message_bytes allows today: until a start finds it "
        "gone, segments have at least {} bytes",
        largest_carried_, segment_min));
  }
  pool_.emplace(storage_, clock_, segment_min,
                wal::SegmentPool::Hooks{[this] { pool_changed(); }, [this](std::string_view line) { warn(line); },
                                        [this](const Error& error) { on_directory_failed(error); }});
  writer_.emplace(storage_, clock_, rng_, *pool_,
                  wal::LogWriter::Limits{segment_min, std::max(segment_min, options_.segment_bytes_max),
                                         options_.batches_in_flight},
                  *this);
  pool_->want_to_fit(wal::LogWriter::segment_bytes_to_hold(largest_put_));
  // A put may be what the rest of a batch submit that was cut off would look like: another record goes in front of it.
  const bool must_close = mode == wal::RecoveryMode::kSalvage || !open_group_.empty();
  drop_open_group();  // before the compactor can run: it would carry what was never acknowledged
  engine_state_ = EngineState::kRunning;
  start_log(*recovered);
  settle_after_replay();
  if (lost_groups_ > 0)
    report.notes.push_back(fmt::format(
        "{} batch submits were cut off before they were whole and never acknowledged: nothing of them is kept",
        lost_groups_));
  torn_bytes_ = report.torn_bytes;
  report.messages = store_.depth().total();
  report.dead_letters = store_.dead_count();
  opened_at_ = clock_.mono();
  for (const auto& note : report.notes) warn(note);
  // The first block of ids is durable before the first answer, and a record of this life with it. On a full disk it is
  // left until somebody needs ids: start after start would take the room of takes.
  auto first = co_await room_for(kFirstRecordBytes, must_close ? Use::kCompact : Use::kOptional);
  if (first) {
    if (must_close && options_.ids_by_puts) append_state(state_now());
    reserve_ids();
    first = co_await durable(last_ordinal_);
  } else if (!must_close && !failure_ && engine_state_ == EngineState::kRunning) {
    first = Result<void>();
  }
  if (!first) {
    done(fail(Error(first.error()).in("open the queue")));
    co_return;
  }
  serve_waiters();
  done(std::move(report));
}

}  // namespace qh::queue
