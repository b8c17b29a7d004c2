// queue/segment_pool.h - keeps the next segments of a log ready, and takes back the dead ones.
//
// A write into blocks that were written before needs no journal commit, so segments are filled with
// zeros ahead of need and recycled when nothing in them is alive (docs/performance.md has the figures).
// This is background work: nothing waits for it but a log that has outrun it.
//
// Recycling   the usual case: a new file is not begun while an old one is about to be retired (expect_retired()),
//             and one that comes when enough are ready is kept as a spare where the log's bound allows (may_hold()).
// Removal     under another name, and cut off piece by piece: a disk that discards what becomes free does nothing else
//             meanwhile. What cannot be removed is said, and does not keep new segments from being made.
// Durability  a segment is ready only when its blocks and its name are durable.
// Errors      a failure (no room, no descriptors, read-only) is kept in failure(), said once, and tried
//             again each second from the start with a new file: a failed sync is never repeated. A failed sync of
//             the directory has no new file to begin with: it is final, and Hooks::broken is told.
// Threads     the queue's owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/storage.h"
#include "base/task.h"
#include "base/unique_function.h"

namespace qh::queue::wal {

struct PreparedSegment {
  std::uint64_t index = 0;
  std::uint64_t bytes = 0;
  FileId file;
};

/// A file in the queue's directory whose content is not needed any more.
struct RetiredSegment {
  std::uint64_t index = 0;
  std::uint64_t bytes = 0;
};

class SegmentPool {
 public:
  /// How many segments are kept ready when nobody has asked for more.
  static constexpr std::size_t kReadyTarget = 2;

  struct Hooks {
    UniqueFunction<void()> changed;  ///< ready(), failure() or disk_bytes() changed
    UniqueFunction<void(std::string_view line)> warn;
    /// Names that were to be durable may not be, and no later sync can be believed: nothing is done any more.
    UniqueFunction<void(const Error& error)> broken;
  };

  SegmentPool(Storage& storage, Clock& clock, std::uint64_t bytes_min, Hooks hooks);

  /// Begins the work; the first segment that it makes gets `next_index`.
  void start(std::uint64_t next_index);
  /// Segments that recovery found ready, in the order of their numbers from `next_index` on.
  void adopt(PreparedSegment segment);
  /// The next segment of the log, if one is ready.
  std::optional<PreparedSegment> take();
  /// `segment` may be used again: recycled, or, when enough are ready, kept as a spare or removed. The record that
  /// says that it is not needed must be durable.
  void retire(RetiredSegment segment);
  /// As retire(), but its bytes are kept, as `<name>.damaged`: they are evidence (wal repair).
  void keep_damaged(RetiredSegment segment);
  /// Size of the segments that are made from now on, where the disk has room for it. One that is made of an old file
  /// grows to twice its length at most, or to want_at_least().
  void want_bytes(std::uint64_t bytes) { wanted_bytes_ = bytes; }
  /// Size that a new segment has even when the disk is nearly full: what is alive in an old one should fit into it.
  /// Where the disk has not so much, it has what there is, down to the constructor's.
  void want_at_least(std::uint64_t bytes) { bytes_floor_ = std::max(bytes_min_, bytes); }
  /// No segment is recycled, on whatever full disk, that has less: there is a record that needs so much.
  void want_to_fit(std::uint64_t bytes) { bytes_to_fit_ = bytes; }
  /// The least size of a segment that is made now.
  std::uint64_t bytes_floor() const { return bytes_floor_; }
  /// One segment more than are ready now, until the next take(): something larger than usual waits.
  void want_one_more();
  /// Whether a segment will be retired soon. While that is so, or nobody has said anything since the last take(), one
  /// ready segment is enough, and the next is not made from nothing.
  void expect_retired(bool soon);
  /// Spares are kept as long as all of the pool's files take no more than this.
  void may_hold(std::uint64_t bytes);
  /// Nobody waits for room: what want_one_more() made is given back, as far as it is over may_hold().
  void give_back();

  const std::deque<PreparedSegment>& ready() const { return ready_; }
  /// A segment is being made, recycled or put away. False already in the call of Hooks::changed that tells of a
  /// failure.
  bool working() const {
    const bool goes_on = !giving_up_ || in_work_bytes_ != 0 || !retired_.empty() || is_removing();
    return work_.running() && goes_on && !ending_ && !broken_;
  }
  const std::optional<Error>& failure() const { return failure_; }
  /// Of the files that this pool holds: ready, in work, and waiting to be recycled or removed.
  std::uint64_t disk_bytes() const;
  /// Of that, old segments that may be used again, and go where there are more than may_hold().
  std::uint64_t spare_bytes() const;
  /// Segments that were made of old files since the start.
  std::uint64_t recycled() const { return recycled_; }
  /// Nothing waits to be made, recycled or put away. True already in the call of Hooks::changed that says so.
  bool idle() const { return !wanted() || failure_; }

  void tick();
  /// Forgets that something has failed: what is wanted is tried now and not when a second is over.
  void try_again();
  MonoTime next_wakeup() const { return failure_ ? retry_at_ : MonoTime::never(); }

 private:
  Task<void> work();
  Task<Result<void>> make_next();
  Task<Result<FileId>> create_file(std::string final_name, std::uint64_t bytes);
  Task<Result<FileId>> recycle_file(RetiredSegment from, std::string final_name, std::uint64_t bytes);
  Task<Result<void>> put_away();
  Task<Result<void>> begin_removing(std::uint64_t index, std::uint64_t bytes);
  Task<void> go_on_removing();
  Task<Result<void>> keep_aside(RetiredSegment segment);
  Task<Result<void>> give_one_back();
  Task<Result<void>> sync_names();
  /// Made from nothing. What has failed is wanted until it succeeds: it is no less needed while a segment is expected.
  bool wants_new() const {
    return retired_.empty() && ready_.size() < std::max(asked_, expecting_ && !failure_ ? 1 : kReadyTarget);
  }
  /// Made of an old file.
  bool wants_recycled() const { return !retired_.empty() && ready_.size() < std::max(asked_, kReadyTarget); }
  bool wants_more() const { return wants_new() || wants_recycled(); }
  bool wants_less() const { return giving_back_ && ready_.size() > kReadyTarget && disk_bytes() > may_hold_; }
  bool is_removing() const { return !removing_.empty() && !removing_stuck_; }
  bool wants_to_put_away() const {
    return !damaged_.empty() || is_removing() || (!retired_.empty() && disk_bytes() > may_hold_);
  }
  bool wanted() const {
    return started_ && !broken_ && (wants_more() || wants_less() || wants_to_put_away() || in_work_bytes_ != 0);
  }
  void run();
  void failed(Error error);

  Storage& storage_;
  Clock& clock_;
  std::uint64_t bytes_min_;
  std::uint64_t bytes_floor_;
  std::uint64_t bytes_to_fit_ = 0;
  std::uint64_t wanted_bytes_;
  Hooks hooks_;
  bool started_ = false;
  std::uint64_t next_index_ = 1;
  std::deque<PreparedSegment> ready_;
  std::deque<RetiredSegment> retired_;
  std::deque<RetiredSegment> damaged_;
  std::deque<RetiredSegment> removing_;  ///< have the other name already
  bool removing_stuck_ = false;          ///< the first of them, until there is other work again
  std::size_t asked_ = 0;                ///< how many are to be ready because somebody waits
  bool expecting_ = false;
  bool giving_back_ = false;
  bool broken_ = false;
  std::uint64_t may_hold_ = 0;
  std::uint64_t recycled_ = 0;
  std::uint64_t in_work_bytes_ = 0;
  bool giving_up_ = false;
  bool ending_ = false;  ///< giving up, with old files that cannot be put away
  std::optional<Error> failure_;
  bool was_short_ = false;         ///< from a failure on, until all is well again
  std::optional<int> said_errno_;  ///< of the failure that was last said
  MonoTime said_until_;            ///< it is not said again before
  MonoTime retry_at_ = MonoTime::never();
  Task<void> work_;
};

}  // namespace qh::queue::wal
