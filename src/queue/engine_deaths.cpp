// The engine: how messages die, and that each death gets into the log.
//
// A dead letter is durable, also that of a message which was only in memory until now. When the log has no room for a
// moment, the death waits in unwritten_deaths_ and is written when there is some: with the next segment, the next pump
// or tick, or by a graceful stop. What the log says of the counters leaves these deaths out, so that a start counts
// each of them once.
#include <algorithm>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
/// On a full disk without a text, whose room is that of the takes.
void Engine::Impl::die(Entry& entry, DeadReason reason, std::string error) {
  ++state_.counters.dead_lettered;
  auto& text = entry.more().last_error;
  const bool grows = is_logged(entry) && error.size() > text.size();
  if (grows && pool_->failure() && room(2 * error.size(), Use::kSubmit) != Room::kEnough) error.clear();
  text = std::move(error);
  store_.make_dead(entry, reason, clock_.wall());
  measure_again(entry);
  unwritten_deaths_.insert(entry.id);
  want_pump();
}

void Engine::Impl::to_dead(Entry& entry, DeadReason reason, std::string error) {
  die(entry, reason, std::move(error));
  settle_deaths();
}

/// Work of its own: where others have asked for room and not used it yet, die() is enough, and the next pump() settles.
void Engine::Impl::settle_deaths() {
  while (!unwritten_deaths_.empty() && log_ok()) {
    Entry& entry = *store_.find(*unwritten_deaths_.begin());
    const bool has_room = room(death_bytes(entry), Use::kChange) == Room::kEnough;
    if (!has_room || (!is_logged(entry) && !writer_->can_hold(put_bytes(entry)))) {
      want_more_segments();
      break;
    }
    write_death(entry);
  }
  limit_dead(clock_.wall());
}

std::uint64_t Engine::Impl::death_bytes(const Entry& entry) const {
  const auto record = kSmallRecordBytes + entry.extra->last_error.size();
  return is_logged(entry) ? record : record + wal::kBlockBytes + put_bytes(entry);
}

/// A put that says of itself that its message is dead does not count as a death where nothing was known of the message
/// before: the record of its death goes in front of it.
void Engine::Impl::append_death(const Entry& entry) {
  const wal::Dead record{entry.id, entry.extra->reason, entry.extra->died_at_ms, entry.extra->last_error};
  append(wal::RecordType::kDead, [&](Bytes& out) { wal::encode(record, out); });
  unwritten_deaths_.erase(entry.id);
}

void Engine::Impl::write_death(Entry& entry) {
  if (is_logged(entry))
    append_death(entry);
  else
    append_put(entry, 0, true);
}

/// Before the record of what becomes of a dead letter: the log knows of its death by then. One that is only in memory
/// goes on, or goes, without a trace.
void Engine::Impl::write_or_forget_death(Entry& entry) {
  if (!unwritten_deaths_.contains(entry.id)) return;
  if (is_logged(entry))
    append_death(entry);
  else
    unwritten_deaths_.erase(entry.id);
}

std::uint64_t Engine::Impl::after_death_bytes(const Entry& entry) const {
  const bool unwritten = is_logged(entry) && unwritten_deaths_.contains(entry.id);
  return unwritten ? kSmallRecordBytes + death_bytes(entry) : kSmallRecordBytes;
}

void Engine::Impl::limit_dead(WallTime now) {
  std::uint64_t gone = 0;
  while (Entry* oldest = store_.oldest_dead()) {
    const bool over =
        store_.dead_count() > options_.dead_letters_max || store_.dead_bytes() > options_.dead_letter_bytes_max;
    const bool old = now - WallTime::from_ms(oldest->extra->died_at_ms) > options_.dead_letter_age_max;
    if (!over && !old) break;
    if (is_logged(*oldest) && (!log_ok() || room(after_death_bytes(*oldest), Use::kChange) != Room::kEnough)) break;
    write_or_forget_death(*oldest);
    if (is_logged(*oldest)) append_id(wal::RecordType::kEvict, oldest->id);
    ++state_.counters.dead_evicted;
    end_entry(*oldest);
    store_.erase(*oldest);
    ++gone;
  }
  if (gone > 0) {
    warn(
        fmt::format("{} dead letters left the queue, the oldest first: {} are kept at most, {} bytes, {} days ({} have "
                    "left so far)",
                    gone, options_.dead_letters_max, options_.dead_letter_bytes_max,
                    std::chrono::duration_cast<std::chrono::hours>(options_.dead_letter_age_max).count() / 24,
                    state_.counters.dead_evicted));
  }
}

// -- Expiry ----------------------------------------------------------------------------------------------------

bool Engine::Impl::has_expired(const Entry& entry, WallTime now) {
  return entry.expires_at_ms != 0 && now >= WallTime::from_ms(entry.expires_at_ms);
}

std::string Engine::Impl::expiry_text(const Entry& entry) {
  return fmt::format("expired at {} ms", entry.expires_at_ms);
}

void Engine::Impl::wall_due(Entry& entry, WallTime now) {
  if (has_expired(entry, now))
    to_dead(entry, DeadReason::kExpired, expiry_text(entry));
  else
    store_.make_ready(entry);
}

/// The first of a class that has not expired. What has, and was still in its place, dies here: it is handed to nobody,
/// though no tick has come by since. `deaths_left` bounds the work of one call.
Entry* Engine::Impl::first_alive(KindMask mask, std::size_t& deaths_left) {
  Entry* entry = store_.first(mask);
  while (entry != nullptr && entry->expires_at_ms != 0 && has_expired(*entry, clock_.wall())) {
    if (deaths_left == 0) return nullptr;
    --deaths_left;
    die(*entry, DeadReason::kExpired, expiry_text(*entry));
    entry = store_.first(mask);
  }
  return entry;
}

}  // namespace qh::queue
