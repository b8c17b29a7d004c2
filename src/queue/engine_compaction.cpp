// The engine's compactor, which makes room in the log, and what the log and its pool take of the disk.
#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

// Carried in one go: little enough that a submit behind it does not wait long, or, on a full disk where nobody
// may submit, as closely packed as any batch.
constexpr std::uint64_t kCarryBytes = 128U << 10;
constexpr std::uint64_t kCarryBytesWhenFull = 1U << 20;
/// A segment is mostly dead below this part of it.
constexpr std::uint64_t kMostlyDeadPart = 4;
constexpr auto kHeadRests = std::chrono::seconds(1);
/// Identity, mark and lock.
constexpr std::uint64_t kOtherFileBytes = 4 * wal::kBlockBytes;

bool is_mostly_dead(const SegmentTable::Segment& segment) {
  return segment.live_bytes * kMostlyDeadPart < segment.bytes;
}

}  // namespace

// -- Compaction --------------------------------------------------------------------------------------------
//
// The log is a ring: what is alive in its oldest segment is appended again, then the segment is let go.
// Puts therefore always leave before, or with, the records that end them, and space is bounded by
// twice the live bytes with at most one copied byte for each written one (docs/adr/0005).

bool Engine::Impl::should_compact() const {
  const auto* head = segments_.head();
  if (head == nullptr || head_moving_) return false;
  if (!compact_requests_.empty() && head->index <= compact_requests_.back().through_segment) return true;
  if (pool_->failure() && (tidy_until_ || (pass_until_ && !parked_.empty()))) return true;
  return head->live_bytes == 0 || (may_carry(*head) && clock_.mono() >= head_rests_at());
}

/// There is something to win from it.
bool Engine::Impl::may_carry(const SegmentTable::Segment& head) const { return is_mostly_dead(head) || is_long(); }

bool Engine::Impl::is_long() const {
  return segments_.sealed_bytes() > 2 * segments_.live_bytes() + writer_->segment_bytes() / 2;
}

/// Until then the head is left alone: who works his way through it ends most of what is left sooner than it is written
/// again. Not while the log comes near the bound of its space, four segments above twice the live bytes.
MonoTime Engine::Impl::head_rests_at() const {
  const bool at_once = (is_long() || near_bound()) && (!drains() || nearly_at_bound());
  return at_once || pool_->failure() ? MonoTime{} : head_seen_.since + kHeadRests;
}

/// What stands in the log is what there is to win, and to carry a head takes room before it gives some.
bool Engine::Impl::near_bound() const {
  const auto segment = writer_->segment_bytes();
  const auto live = 2 * segments_.live_bytes();
  const auto carried = segments_.disk_bytes() + pool_->disk_bytes() + segments_.head()->live_bytes;
  const bool is_the_log = segments_.sealed_bytes() > segment && segments_.sealed_bytes() + 2 * segment > live;
  return is_the_log && carried > live + 3 * segment;
}

/// Spares of the pool give way. The log may go on in its next segment before the head is let go, and the pool makes one
/// for it where it has no other.
bool Engine::Impl::nearly_at_bound() const {
  const auto segment = writer_->segment_bytes();
  const auto all = segments_.disk_bytes() + pool_->disk_bytes() - pool_->spare_bytes() + kOtherFileBytes;
  const bool makes_one = pool_->ready().size() < 2 && pool_->spare_bytes() == 0;
  return all + (makes_one ? segment : 0) + segment / 8 > 2 * segments_.live_bytes() + 4 * segment;
}

/// What was in the head goes, and what comes is a small part of that. A head that nobody has come to yet is as the one
/// before it was.
bool Engine::Impl::drains() const {
  const auto* head = segments_.head();
  if (head_seen_.index != head->index) return false;
  const auto of_head = head_seen_.first_live_bytes - head->live_bytes;
  if (of_head == 0) return head_seen_.last_drained;
  return segments_.live_bytes() + of_head / 4 * 3 <= head_seen_.all_live_bytes;
}

void Engine::Impl::watch_head() {
  const auto* head = segments_.head();
  if (head == nullptr) return;
  const auto all = segments_.live_bytes();
  if (head_seen_.index != head->index)
    head_seen_ = {head->index, head->live_bytes, head->live_bytes, all, clock_.mono(), head_seen_.drained};
  if (all > head_seen_.all_live_bytes) {
    head_seen_.all_live_bytes = all;
    head_seen_.first_live_bytes = head->live_bytes;
    head_seen_.last_drained = false;
  }
  head_seen_.drained = drains();
  if (head_seen_.live_bytes == head->live_bytes) return;
  head_seen_.live_bytes = head->live_bytes;
  head_seen_.since = clock_.mono();
}

MonoTime Engine::Impl::next_compaction() const {
  const auto* head = segments_.head();
  const bool waits = engine_state_ == EngineState::kRunning && !failure_ && head != nullptr && !head_moving_;
  return waits && may_carry(*head) && !should_compact() ? head_rests_at() : MonoTime::never();
}

void Engine::Impl::compact() {
  work_compaction();
  tell_pool();
}

void Engine::Impl::work_compaction() {
  watch_head();
  if (engine_state_ != EngineState::kRunning || !writer_ || !should_compact()) return;
  const auto* head = segments_.head();
  if (head->live_bytes == 0) return advance_head();
  if (writer_->has_pending()) return;  // one go at a time, so that submits get their turn
  if (writer_->room() >= carry_room(head->live_bytes)) return carry_head();
  want_more_segments();
}

void Engine::Impl::carry_head() {
  const auto chunk = pool_->failure() ? kCarryBytesWhenFull : kCarryBytes;
  const auto through = segments_.head()->last_ordinal;
  std::uint64_t carried = 0;
  for (Entry* entry = store_.oldest_logged(); entry != nullptr && entry->ordinal <= through && carried < chunk;
       entry = store_.oldest_logged()) {
    append_put(*entry, 0, true);
    carried += entry->record_bytes;
  }
  for (EndedKey* key = keys_.oldest_logged(); key != nullptr && key->ordinal <= through && carried < chunk;
       key = keys_.oldest_logged()) {
    append_key(*key);
    carried += wal::key_record_bytes(key->key_bytes);
  }
  if (const auto* head = segments_.head(); head->index == head_seen_.index) {
    head_seen_.first_live_bytes -= head_seen_.live_bytes - head->live_bytes;
    head_seen_.live_bytes = head->live_bytes;
  }
}

void Engine::Impl::advance_head() {
  if (room(0, Use::kCompact) != Room::kEnough) return want_more_segments();
  head_moving_ = true;
  const wal::RetiredSegment dead{segments_.head()->index, segments_.head()->bytes};
  auto next = state_now();
  next.head_segment = segments_.second().index;
  when_durable(append_state(next), [this, dead](const Error* error) {
    head_moving_ = false;
    if (error != nullptr) return;
    let_head_go(dead);
    check_compact_requests();
    compact();
  });
}

void Engine::Impl::let_head_go(wal::RetiredSegment dead) {
  segments_.drop_head();
  ++compactions_;
  const auto* head = segments_.head();
  if (tidy_until_ && (head == nullptr || head->index > *tidy_until_)) tidy_until_.reset();
  if (pass_until_ && (head == nullptr || head->index > *pass_until_)) {
    // Gone round once: who still waits when this one has been recycled waits for nothing.
    pass_until_.reset();
    fruitless_seq_ = writer_->next_seq();
  }
  bound_pool();  // it may be a spare in the room that it had in the log
  if (std::erase(damaged_segments_, dead.index) > 0)
    pool_->keep_damaged(dead);
  else
    pool_->retire(dead);
}

// -- Space ---------------------------------------------------------------------------------------------------

/// The log's bound is twice the live bytes and four segments.
void Engine::Impl::bound_pool() {
  const auto bound = 2 * segments_.live_bytes() + 4 * writer_->segment_bytes();
  const auto others = segments_.disk_bytes() + kOtherFileBytes;
  pool_->may_hold(bound > others ? bound - others : 0);
}

/// What the pool may keep, and what it can count on.
void Engine::Impl::tell_pool() {
  if (!writer_) return;
  bound_pool();
  const auto* head = segments_.head();
  // Where much is carried on first, the log needs the room of a new segment before it gets the old one.
  const auto carried_and_on = [&] { return carry_room(head->live_bytes) + writer_->segment_bytes() / 2; };
  const bool comes = head != nullptr && (head_moving_ || (should_compact() && writer_->room() >= carried_and_on()) ||
                                         (may_carry(*head) && drains()));
  pool_->expect_retired(engine_state_ == EngineState::kRunning && comes);
  want_refused_room();
}

/// Nothing is under way that the room of the log is needed for, and the compactor can do without the rest of the
/// current segment: the disk may have no other.
bool Engine::Impl::may_shrink() const {
  const auto a_round = carry_room(segments_.live_most()) + segments_.size() * wal::kBlockBytes;
  if (writer_->room_to_come() < a_round) return false;
  return engine_state_ == EngineState::kRunning && !writer_->busy() && parked_.empty() && !head_moving_ &&
         !should_compact() && pool_->idle() && !pool_->failure() && !pool_->ready().empty();
}

/// Of the pool, once the log is idle: not between two submits, of which the second needs it again.
void Engine::Impl::give_back_surplus() {
  if (may_shrink() && writer_->marked()) pool_->give_back();
}

void Engine::Impl::give_back_space(MonoTime now) {
  give_back_surplus();
  if (now < writer_->may_shrink_at() || !may_shrink()) return;
  writer_->shrink();
  append_state(state_now());
}

void Engine::Impl::compact_wal(Done<void> done) {
  if (auto running = check_running(); !running) return done(fail(std::move(running.error())));
  const auto* head = segments_.head();
  compact_requests_.push_back({head == nullptr ? 0 : segments_.current() - 1, std::move(done)});
  compact();
  check_compact_requests();
}

void Engine::Impl::check_compact_requests() {
  if (compact_requests_.empty()) return;
  const auto* head = segments_.head();
  const bool full = pool_->failure() && !pool_->working();
  if (head != nullptr && head->index <= compact_requests_.back().through_segment) {
    if (!full || head_moving_ || writer_->busy() || writer_->room() >= carry_room(head->live_bytes)) return;
  } else if (!pool_->idle() && !full) {
    return;
  }
  for (auto& request : std::exchange(compact_requests_, {})) {
    if (full)
      request.done(fail(no_room()));
    else
      request.done({});
  }
}

}  // namespace qh::queue
