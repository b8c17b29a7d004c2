// The engine: what becomes of dead letters, looking and tidying.
#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {
constexpr std::size_t kPeekMax = 1'000;
constexpr double kRetryRateMin = 0.001;
/// Where there is no room for a go of a purge: so many times fewer.
constexpr std::size_t kFewerAtOnce = 10;
}  // namespace

std::vector<DeadLetter> Engine::Impl::dead_letters(std::optional<DeadPosition> after, std::size_t limit) const {
  std::vector<DeadLetter> letters;
  store_.each_dead(after, [&](const Entry& entry) {
    if (letters.size() >= limit) return false;
    letters.push_back({store_.describe(entry), entry.extra->reason, WallTime::from_ms(entry.extra->died_at_ms),
                       entry.extra->last_error});
    return true;
  });
  return letters;
}

void Engine::Impl::revive(Entry& entry) {
  write_or_forget_death(entry);
  if (is_logged(entry)) append_id(wal::RecordType::kRevive, entry.id);
  ++state_.counters.dead_retried;
  entry.deliveries = 0;
  entry.expires_at_ms = 0;  // it would die of the same at once
  store_.make_ready(entry);
}

void Engine::Impl::retry_dead(MessageId id, Done<std::uint64_t> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  Entry* entry = store_.find(id);
  if (entry == nullptr || entry->state != EntryState::kDead) {
    return done(fail(Errc::kNotFound, fmt::format("no dead letter has the id {}", id.value())));
  }
  const auto bytes = after_death_bytes(*entry);
  if (blocked(bytes, Use::kChange)) {
    return wait_for_room(bytes, Use::kChange, [this, id, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        retry_dead(id, std::move(d));
    });
  }
  const bool durable = is_logged(*entry);
  revive(*entry);
  answer_at(durable ? newest_of(last_ordinal_) : 0, std::uint64_t{1}, std::move(done));
  serve_waiters();
}

void Engine::Impl::retry_all_dead(double per_second, Done<std::uint64_t> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  if (!(per_second >= 0)) return done(fail(Error(Errc::kInvalid, "rate: must be 0 or more a second").about("rate")));
  const auto count = store_.dead_count();
  if (per_second > 0 && per_second < kRetryRateMin) {
    return done(fail(Error(Errc::kInvalid, "rate: must be 0, or at least 0.001 a second").about("rate")));
  }
  if (count == 0) return done(count);
  if (per_second > 0) {
    retry_job_ = RetryJob{per_second, count, clock_.mono()};
    return done(count);
  }
  Size size;
  store_.each_dead({}, [&](const Entry& entry) {
    size += after_death_bytes(entry);
    return true;
  });
  if (blocked(size, Use::kChange)) {
    return wait_for_room(size, Use::kChange, [this, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        retry_all_dead(0, std::move(d));
    });
  }
  while (Entry* entry = store_.oldest_dead()) revive(*entry);
  const auto wait_for = newest_of(last_ordinal_);
  answer_at(wait_for, count, std::move(done));
  serve_waiters();
}

// A rate spreads the retries, so that what killed the messages is not hit by all of them at once.
void Engine::Impl::work_retry_job(MonoTime now) {
  if (!retry_job_) return;
  auto& job = *retry_job_;
  const auto due = static_cast<std::uint64_t>(static_cast<double>((now - job.last).count()) * 1e-9 * job.per_second);
  if (due == 0) return;
  job.last = now;
  for (std::uint64_t i = 0; i < due && job.left > 0; ++i) {
    Entry* entry = store_.oldest_dead();
    if (entry == nullptr) job.left = 0;
    if (entry == nullptr || room(after_death_bytes(*entry), Use::kChange) != Room::kEnough) break;
    revive(*entry);
    --job.left;
  }
  if (job.left == 0) retry_job_.reset();
  serve_waiters();
}

wal::Ordinal Engine::Impl::remove_entry(Entry& entry) {
  write_or_forget_death(entry);
  const auto ordinal = is_logged(entry) ? append_id(wal::RecordType::kRemove, entry.id) : wal::Ordinal{0};
  ++state_.counters.removed;
  end_entry(entry);
  store_.erase(entry);
  return ordinal;
}

void Engine::Impl::remove(MessageId id, Done<bool> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  Entry* entry = store_.find(id);
  if (entry == nullptr || entry->state == EntryState::kPending || entry->state == EntryState::kDead) return done(false);
  if (entry->state == EntryState::kLeased) {
    return done(fail(Errc::kBusy,
                     fmt::format("message {} is leased: ack or nack it, or wait for its lease to end", id.value())));
  }
  if (blocked(kSmallRecordBytes, Use::kEnd)) {
    return wait_for_room(kSmallRecordBytes, Use::kEnd, [this, id, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        remove(id, std::move(d));
    });
  }
  answer_at(remove_entry(*entry), true, std::move(done));
}

bool Engine::Impl::Purge::takes(const Entry& entry) const {
  if (died_by_ms) return entry.state == EntryState::kDead && entry.extra->died_at_ms <= *died_by_ms;
  return entry.state == EntryState::kReady || entry.state == EntryState::kDelayed;
}

void Engine::Impl::Purge::fail_with(const Error& error) {
  if (removed == 0) return done(fail(error));
  done(fail(Error(error).in(fmt::format("purge: {} are gone, the others may be", removed))));
}

/// In several goes, so that neither the owner's thread nor the log is held up by very many, and so that a full disk,
/// which has room for few at a time, is purged as well. What has left, or changed, since the first go is passed over.
void Engine::Impl::work_purge(Purge purge) {
  while (purge.next < purge.ids.size()) {
    if (auto running = check_running(); !running) return purge.fail_with(running.error());
    std::vector<Entry*> go;
    Size size;
    const auto end = std::min(purge.ids.size(), purge.next + purge.at_once);
    for (auto i = purge.next; i < end; ++i) {
      Entry* entry = store_.find(purge.ids[i]);
      if (entry == nullptr || !purge.takes(*entry)) continue;
      go.push_back(entry);
      size += after_death_bytes(*entry);
    }
    if (blocked(size, Use::kEnd)) {
      return wait_for_room(size, Use::kEnd, [this, purge = std::move(purge)](const Error* error) mutable {
        if (error != nullptr && purge.at_once == 1) return purge.fail_with(*error);
        if (error != nullptr) purge.at_once = (purge.at_once + kFewerAtOnce - 1) / kFewerAtOnce;
        work_purge(std::move(purge));
      });
    }
    wal::Ordinal wait_for = 0;
    for (Entry* entry : go) wait_for = std::max(wait_for, remove_entry(*entry));
    purge.next = end;
    purge.at_once = std::min(kPurgedAtOnce, 2 * purge.at_once);
    if (wait_for == 0) {
      purge.removed += go.size();
      continue;
    }
    return when_durable(newest_of(wait_for),
                        [this, gone = go.size(), purge = std::move(purge)](const Error* error) mutable {
                          if (error != nullptr) return purge.fail_with(*error);
                          purge.removed += gone;
                          work_purge(std::move(purge));
                        });
  }
  purge.done(purge.removed);
}

void Engine::Impl::purge(KindMask mask, Duration older_than, Done<std::uint64_t> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  // All of them, whatever a clock that stepped back makes of their age.
  const auto before = older_than > Duration(0) ? clock_.wall().ns - older_than.count() : INT64_MAX;
  Purge purge{.ids = {}, .died_by_ms = {}, .done = std::move(done)};
  store_.each([&](const Entry& entry) {
    const bool waits = entry.state == EntryState::kReady || entry.state == EntryState::kDelayed;
    if (waits && mask.has(entry.kind()) && entry.created_at.ns <= before) purge.ids.push_back(entry.id);
  });
  work_purge(std::move(purge));
}

void Engine::Impl::purge_dead(MessageId id, Done<std::uint64_t> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  Entry* entry = store_.find(id);
  if (entry == nullptr || entry->state != EntryState::kDead) {
    return done(fail(Errc::kNotFound, fmt::format("no dead letter has the id {}", id.value())));
  }
  const auto bytes = after_death_bytes(*entry);
  if (blocked(bytes, Use::kEnd)) {
    return wait_for_room(bytes, Use::kEnd, [this, id, d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(*error));
      else
        purge_dead(id, std::move(d));
    });
  }
  answer_at(remove_entry(*entry), std::uint64_t{1}, std::move(done));
}

void Engine::Impl::purge_dead_older(Duration older_than, Done<std::uint64_t> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  const auto before_ms = older_than > Duration(0) ? (clock_.wall() + -older_than).ms() : INT64_MAX;
  Purge purge{.ids = {}, .died_by_ms = before_ms, .done = std::move(done)};
  store_.each_dead({}, [&](const Entry& entry) {
    if (entry.extra->died_at_ms > before_ms) return false;
    purge.ids.push_back(entry.id);
    return true;
  });
  work_purge(std::move(purge));
}

// What was asked for last holds: nobody overtakes a call that waits for room.
void Engine::Impl::set_paused(KindMask pause, KindMask resume, Done<KindMask> done, bool in_turn) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  if ((!in_turn && parked_pauses_ > 0) || blocked(kSmallRecordBytes, Use::kChange)) {
    ++parked_pauses_;
    auto again = [this, pause, resume, d = std::move(done)](const Error* error) mutable {
      --parked_pauses_;
      if (error != nullptr)
        d(fail(*error));
      else
        set_paused(pause, resume, std::move(d), true);
    };
    return wait_for_room(kSmallRecordBytes, Use::kChange, std::move(again));
  }
  auto next = state_now();
  const auto paused = (KindMask(state_.paused_kinds) | pause).without(resume);
  next.paused_kinds = paused.bits();
  if (next.paused_kinds != state_.paused_kinds)
    pause_ordinal_ = append_state(next);
  else if (pause_ordinal_ <= durable_ordinal_)
    return done(paused);  // and on disk already
  answer_at(newest_of(pause_ordinal_), paused, std::move(done));
  serve_waiters();
}

std::vector<QueuedMessage> Engine::Impl::peek(std::size_t count, KindMask mask,
                                              std::optional<std::pair<Priority, MessageId>> after) const {
  std::vector<QueuedMessage> found;
  count = std::min(count, kPeekMax);
  for (const auto priority : {Priority::kCritical, Priority::kHigh, Priority::kNormal, Priority::kLow}) {
    if (after && priority > after->first) continue;
    const auto behind = after && priority == after->first ? after->second : MessageId(0);
    std::vector<const Entry*> merged;
    for (const auto& kind : kinds()) {
      if (kind.priority != priority || !mask.has(kind.kind)) continue;
      std::size_t left = count - found.size();
      store_.each_ready(kind.kind, behind, [&](const Entry& entry) {
        if (left == 0) return false;
        merged.push_back(&entry);
        return --left > 0;
      });
    }
    std::sort(merged.begin(), merged.end(), [](const Entry* a, const Entry* b) { return a->id < b->id; });
    for (const Entry* entry : merged) {
      if (found.size() == count) return found;
      found.push_back(store_.describe(*entry));
    }
  }
  return found;
}

void Engine::Impl::each(UniqueFunction<void(const Found& found)> visit) const {
  std::vector<MessageId> ids;
  store_.each([&](const Entry& entry) {
    if (entry.state != EntryState::kPending) ids.push_back(entry.id);
  });
  for (const auto id : ids) visit(find(id));
}

Found Engine::Impl::find(MessageId id) const {
  Found found;
  const Entry* entry = store_.find(id);
  if (entry == nullptr || entry->state == EntryState::kPending) return found;
  switch (entry->state) {
    case EntryState::kPending:
      break;
    case EntryState::kReady:
      found.state = MessageState::kReady;
      break;
    case EntryState::kDelayed:
      found.state = MessageState::kDelayed;
      found.ready_at = WallTime::from_ms(entry->not_before_ms);
      break;
    case EntryState::kLeased:
      found.state = MessageState::kLeased;
      if (const auto deadline = store_.mono_deadline(*entry))
        found.lease_until = clock_.wall() + (*deadline - clock_.mono());
      break;
    case EntryState::kDead:
      found.state = MessageState::kDead;
      break;
  }
  if (entry->expires_at_ms != 0) found.expires_at = WallTime::from_ms(entry->expires_at_ms);
  found.message = store_.describe(*entry);
  return found;
}

}  // namespace qh::queue
