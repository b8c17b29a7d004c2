// The engine and the room in its log: who may write how much, and who waits.
#include <algorithm>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {

/// All of a record but a message's body.
constexpr std::uint64_t kFieldsBytes = 2U << 10;
/// A hand-out that nobody waits for any longer is not made.
constexpr auto kRoomPatience = std::chrono::seconds(10);

}  // namespace

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
  const bool leaves_more = submits || use == Use::kOptional;
  const auto live = live_most(submits ? size.bytes : 0);
  const auto packed_worse = std::max(std::min<std::uint64_t>(live, largest_put_), size.largest);
  const auto a_round = segments_.size() * wal::kBlockBytes + writer_->segment_bytes() / 8 + segments_.grown_over();
  const auto for_ends = leaves_more ? writer_->segment_bytes() / 4 : 0;
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
  if (use == Use::kSubmit || use == Use::kOptional || use == Use::kCompact) return Room::kNone;
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
  const bool queues_up = use == Use::kSubmit && !parked_.empty() && !starting_over_;
  if (queues_up || room(size, use) != Room::kEnough) return true;
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
  waits_again_ = true;
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

/// In the answer to one of them the others may be cancelled, or end with the queue; and calls may come that park.
void Engine::Impl::retry_parked() {
  if (starting_over_) {  // further down the stack, where it goes on
    room_came_ = true;
    return;
  }
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
      starting_over_ = true;
      waits_again_ = room_came_ = false;
      parked.again(nullptr);
      starting_over_ = false;
      if (waits_again_ && !room_came_) return;
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

/// In the log it takes a block, which on a full disk is the room of takes.
wal::MarkIn Engine::Impl::mark_in() const {
  const bool there = writer_->room() >= wal::kBlockBytes + reserve(wal::kBlockBytes, Use::kOptional);
  return there ? wal::MarkIn::kLogToo : wal::MarkIn::kFileAlone;
}

/// Starts write a few blocks whatever the disk says. Where they have used up what submits had left, one round of the
/// compactor brings it back while it still can: once in a life.
void Engine::Impl::tidy_when_full() {
  if (!pool_->failure()) return tidy_until_.reset();
  if (std::exchange(tidied_, true) || writer_->room() >= reserve(0, Use::kSubmit)) return;
  tidy_until_ = segments_.current();
}

}  // namespace qh::queue
