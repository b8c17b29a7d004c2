// The engine and the room in its log: who may write how much, who waits, and compaction, which makes room.
#include <algorithm>

#include <fmt/format.h>

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
/// All of a record but a message's body.
constexpr std::uint64_t kFieldsBytes = 2U << 10;
/// A hand-out that nobody waits for any longer is not made.
constexpr auto kRoomPatience = std::chrono::seconds(10);
/// Identity, mark and lock.
constexpr std::uint64_t kOtherFileBytes = 4 * wal::kBlockBytes;

bool is_mostly_dead(const SegmentTable::Segment& segment) {
  return segment.live_bytes * kMostlyDeadPart < segment.bytes;
}

}  // namespace

// -- Room --------------------------------------------------------------------------------------------------
//
// Submits leave room for takes and acks, those leave room for the compactor, which makes room. So a disk that is
// full can be emptied to the last message, though a take by itself costs a block of the log: its block comes back
// when the compactor has gone round to it. Where it cannot, since what is alive does not fit into what is left, the
// last of the room is better spent on takes than kept: with each there is less to carry.

/// What carrying so many live bytes on can take behind an append of `first`: the records, a block for each of their
/// batches, what does not fit at the ends of the segments that both fill, and the records that move the head and
/// reserve ids.
std::uint64_t Engine::Impl::carry_room(std::uint64_t live, Size first) const {
  const auto batches = live / writer_->batch_bytes_max() + 2;
  const auto largest = std::max(std::min<std::uint64_t>(live, largest_put_), first.largest);
  const auto waste = writer_->ends_before(first.bytes + live, largest) * largest;
  return live + batches * wal::kBlockBytes + waste + kStateRecordBytes;
}

/// The most that may be alive in one segment once the compactor has carried on what there is: it fills those that come.
std::uint64_t Engine::Impl::live_most(std::uint64_t more) const {
  auto largest = writer_->segment_bytes();
  for (const auto& segment : pool_->ready()) largest = std::max(largest, segment.bytes);
  return std::max(segments_.live_most(), std::min(largest, segments_.live_bytes() + more));
}

/// What an append must leave. A round of the compactor loses a little at each segment before it comes to one that it
/// wins something from: at least the block of the record that lets it go, and what it packs worse than it was.
std::uint64_t Engine::Impl::reserve(Size size, Use use) const {
  if (use == Use::kCompact) return 0;
  const bool submits = use == Use::kSubmit;
  const auto live = live_most(submits ? size.bytes : 0);
  const auto packed_worse = std::max(std::min<std::uint64_t>(live, largest_put_), size.largest);
  const auto a_round = segments_.size() * wal::kBlockBytes + writer_->segment_bytes() / 8 + segments_.grown_over();
  const auto for_ends = submits ? writer_->segment_bytes() / 4 : 0;
  return carry_room(live, size) + a_round + packed_worse + for_ends;
}

Engine::Impl::Room Engine::Impl::room(Size size, Use use) {
  const auto there = writer_->room();
  const auto needed = wal::kBlockBytes + size.bytes;  // at worst in a batch of its own
  const bool held = writer_->can_hold(size.largest);
  if (held && there >= needed + reserve(size, use)) return Room::kEnough;
  segments_.refresh();
  if (held && there >= needed + reserve(size, use)) return Room::kEnough;
  if (!pool_->failure() || writer_->rolling()) return Room::kWait;
  if (use == Use::kSubmit || use == Use::kCompact) return Room::kNone;
  if (can_make_room()) return Room::kWait;
  return use == Use::kEnd && held && there >= needed + kStateRecordBytes ? Room::kEnough : Room::kNone;
}

/// While the disk is full: the compactor has something to win, as far as anybody knows.
bool Engine::Impl::can_make_room() const {
  if (engine_state_ != EngineState::kRunning) return false;
  if (pool_->working() || head_moving_) return true;
  const auto* head = segments_.head();
  return head != nullptr && fruitless_seq_ != writer_->next_seq() && writer_->room() >= carry_room(head->live_bytes);
}

Error Engine::Impl::no_room() const {
  Error error = *pool_->failure();
  error.code = error.code == Errc::kStorageFull ? Errc::kStorageFull : Errc::kStorageFailed;
  return std::move(error).in("the log cannot grow");
}

bool Engine::Impl::blocked(Size size, Use use) {
  if ((use == Use::kSubmit && !parked_.empty()) || room(size, use) != Room::kEnough) return true;
  if (use == Use::kSubmit) wished_.reset();
  return false;
}

MonoTime Engine::Impl::patience(const HandOut& request) const {
  return std::max(request.wait_until, clock_.mono() + kRoomPatience);
}

void Engine::Impl::end_parked(MonoTime now) {
  const Error late(Errc::kTimeout, "the log had no room for the hand-out in time; nothing was handed out");
  std::vector<Parked> over;
  for (auto it = parked_.begin(); it != parked_.end();) {
    if (it->until > now) {
      ++it;
      continue;
    }
    over.push_back(std::move(*it));
    it = parked_.erase(it);
  }
  for (auto& parked : over) parked.again(&late);
}

void Engine::Impl::wait_for_room(Size size, Use use, UniqueFunction<void(const Error*)> again, WaitId wait,
                                 MonoTime until) {
  const auto found = room(size, use);
  if (found == Room::kNone) {
    note_refused(size, use);
    const Error error = no_room();
    return again(&error);
  }
  if (parked_.size() >= options_.max_waiters) {
    Error error(Errc::kQueueFull, "the log is behind and too many calls wait for it already");
    error.subject = "max_waiters";
    error.retry_after_ms = 100;
    return again(&error);
  }
  parked_.push_back({size, use, std::move(again), wait, until});
  if (found == Room::kWait) make_room();
}

void Engine::Impl::want_more_segments() {
  if (!pool_->failure()) pool_->want_one_more();
}

/// Somebody waits: more segments, or, on a full disk, one more round of the compactor.
void Engine::Impl::make_room() {
  if (!pool_->failure()) return want_more_segments();
  if (!pass_until_ && fruitless_seq_ != writer_->next_seq()) pass_until_ = segments_.current();
  want_pump();
}

/// A submit that finds no room leaves the wish for it behind, until there is room for it or a later one finds some.
/// Else the failure would go with a segment that is taken or used again, though the next submit finds no more room.
/// Of a batch no more than a large message needs: it may be larger than the disk. The mark of an idle log takes a
/// block.
void Engine::Impl::note_refused(Size size, Use use) {
  if (use != Use::kSubmit) return;
  const auto most = kFieldsBytes + largest_carried_;
  size.bytes = std::min<std::uint64_t>(size.bytes, most) + wal::kBlockBytes;
  wished_ = size;
}

/// Who waits asks the pool for himself, and a pool that has failed tries again by itself.
void Engine::Impl::want_refused_room() {
  const bool nobody_asks = parked_.empty() && !pool_->failure();
  if (!wished_ || engine_state_ != EngineState::kRunning || !nobody_asks) return;
  if (room(*wished_, Use::kSubmit) == Room::kEnough)
    wished_.reset();
  else
    pool_->want_one_more();
}

void Engine::Impl::retry_parked() {
  while (!parked_.empty()) {
    const auto found = room(parked_.front().size, parked_.front().use);
    if (found == Room::kWait) return make_room();
    Parked parked = std::move(parked_.front());
    parked_.pop_front();
    if (found == Room::kNone) {
      note_refused(parked.size, parked.use);
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
  pass_until_.reset();
}

void Engine::Impl::pool_changed() {
  if (!writer_) return;
  writer_->pump();
  tidy_when_full();
  if (!unwritten_deaths_.empty()) settle_deaths();
  retry_parked();
  compact();
  check_compact_requests();
  give_back_surplus();  // where nobody waits any longer for what was made
}

/// Starts write a few blocks whatever the disk says. Where they have used up what submits had left, one round of the
/// compactor brings it back while it still can: once in a life.
void Engine::Impl::tidy_when_full() {
  if (!pool_->failure()) return tidy_until_.reset();
  if (std::exchange(tidied_, true) || writer_->room() >= reserve(0, Use::kSubmit)) return;
  tidy_until_ = segments_.current();
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
  if (pool_->failure() && (tidy_until_ || (pass_until_ && !parked_.empty()))) return true;
  if (head->live_bytes == 0 || (is_mostly_dead(*head) && clock_.mono() >= head_rests_at())) return true;
  return segments_.sealed_bytes() > 2 * segments_.live_bytes() + writer_->segment_bytes() / 2;
}

/// From then on the head is carried for being mostly dead. A consumer that is working its way through it would take
/// most of what is left sooner than it is written, so it must have been left alone for a while; as long as the log is
/// that far from the bound of its space.
MonoTime Engine::Impl::head_rests_at() const {
  const auto segment = writer_->segment_bytes();
  const auto live = 2 * segments_.live_bytes();
  const auto* head = segments_.head();
  // The bound is four segments above twice the live bytes; to carry a head takes room before it gives some.
  const auto carried = segments_.disk_bytes() + pool_->disk_bytes() + (head != nullptr ? head->live_bytes : 0);
  const bool is_long = segments_.sealed_bytes() > segment && segments_.sealed_bytes() + 2 * segment > live;
  const bool near_bound = is_long && carried > live + 3 * segment;
  return near_bound || pool_->failure() ? MonoTime{} : head_seen_.since + kHeadRests;
}

void Engine::Impl::watch_head() {
  const auto* head = segments_.head();
  if (head == nullptr || !is_mostly_dead(*head)) return;
  if (head_seen_.index == head->index && head_seen_.live_bytes == head->live_bytes) return;
  head_seen_ = {head->index, head->live_bytes, clock_.mono()};
}

MonoTime Engine::Impl::next_compaction() const {
  const auto* head = segments_.head();
  const bool waits = engine_state_ == EngineState::kRunning && !failure_ && head != nullptr && !head_moving_;
  return waits && is_mostly_dead(*head) && !should_compact() ? head_rests_at() : MonoTime::never();
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
  if (const auto* head = segments_.head(); head->index == head_seen_.index) head_seen_.live_bytes = head->live_bytes;
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
  pool_->expect_retired(engine_state_ == EngineState::kRunning && head != nullptr &&
                        (head_moving_ || (should_compact() && writer_->room() >= carried_and_on())));
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
