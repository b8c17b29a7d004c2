// queue/segment_pool.h - keeps the next segments of a log ready, and takes back the dead ones.
//
// A write into blocks that were written before needs no journal commit, so segments are filled with
// zeros ahead of need and recycled when nothing in them is alive (docs/performance.md has the figures).
// This is background work: nothing waits for it but a log that has outrun it.
//
// Durability  a segment is ready only when its blocks and its name are durable.
// Errors      a failure (no room, no descriptors, read-only) is kept in failure(), said once, and tried
//             again each second from the start with a new file: a failed sync is never repeated.
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
  };

  SegmentPool(Storage& storage, Clock& clock, std::uint64_t bytes_min, Hooks hooks);

  /// Begins the work; the first segment that it makes gets `next_index`.
  void start(std::uint64_t next_index);
  /// Segments that recovery found ready, in the order of their numbers from `next_index` on.
  void adopt(PreparedSegment segment);
  /// The next segment of the log, if one is ready.
  std::optional<PreparedSegment> take();
  /// `segment` may be used again: recycled, or removed when enough are ready. The record that says that
  /// it is not needed must be durable.
  void retire(RetiredSegment segment);
  /// As retire(), but its bytes are kept, as `<name>.damaged`: they are evidence (wal repair).
  void keep_damaged(RetiredSegment segment);
  /// Size of the segments that are made from now on, where the disk has room for it.
  void want_bytes(std::uint64_t bytes) { wanted_bytes_ = bytes; }
  /// Size that a new segment has even when the disk is nearly full: what is alive in an old one must fit into it.
  void want_at_least(std::uint64_t bytes) { bytes_floor_ = std::max(bytes_min_, bytes); }
  /// No segment is recycled, on whatever full disk, that has less: there is a record that needs so much.
  void want_to_fit(std::uint64_t bytes) { bytes_to_fit_ = bytes; }
  /// One segment more than are ready now, until the next take(): something larger than usual waits.
  void want_one_more();

  const std::deque<PreparedSegment>& ready() const { return ready_; }
  /// A segment is being made, recycled or put away. False already in the call of Hooks::changed that tells of a
  /// failure.
  bool working() const { return work_.running() && !giving_up_; }
  const std::optional<Error>& failure() const { return failure_; }
  /// Of the files that this pool holds: ready, in work, and waiting to be recycled or removed.
  std::uint64_t disk_bytes() const;
  /// Nothing waits to be made, recycled or put away. True already in the call of Hooks::changed that says so.
  bool idle() const { return !wanted() || failure_; }

  void tick();
  MonoTime next_wakeup() const { return failure_ ? retry_at_ : MonoTime::never(); }

 private:
  Task<void> work();
  Task<Result<void>> make_next();
  Task<Result<FileId>> create_file(std::string final_name, std::uint64_t bytes);
  Task<Result<FileId>> recycle_file(RetiredSegment from, std::string final_name, std::uint64_t bytes);
  Task<Result<void>> put_away();
  Task<Result<void>> keep_aside(RetiredSegment segment);
  bool wanted() const {
    return started_ && (ready_.size() < ready_target_ || in_work_bytes_ != 0 || !retired_.empty() || !damaged_.empty());
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
  std::size_t ready_target_ = kReadyTarget;
  std::uint64_t in_work_bytes_ = 0;
  bool giving_up_ = false;
  std::optional<Error> failure_;
  std::optional<int> said_errno_;  ///< of the failure that was last said, until all is well again
  MonoTime retry_at_ = MonoTime::never();
  Task<void> work_;
};

}  // namespace qh::queue::wal
