#include "queue/segment_pool.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_format.h"
#include "queue/put_aside.h"

namespace qh::queue::wal {
namespace {
constexpr auto kRetryAfter = std::chrono::seconds(1);
/// A cause that comes and goes, as room does on a full disk with each take, is said once.
constexpr auto kSayAgainAfter = std::chrono::minutes(1);
/// Left of a nearly full disk, for what a file system keeps of a file beside its content.
constexpr std::uint64_t kLeftBytes = 64U << 10;
const std::string kRemoving(kRemovingSuffix);

/// What an operator can do about it.
std::string_view remedy_for(int os_errno) {
  switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there: until then new messages are refused, and those that are there can be taken";
    case EMFILE:
    case ENFILE:
      return "; allow the process more open files: until then the log ends with the segments that it has";
    case EROFS:
      return "; mount it writable";
    case ENOENT:
      return "; the queue's directory was removed or moved away: put it back (mount the disk again), then start this "
             "queue anew";
    default:
      return {};
  }
}

std::uint64_t nearly_all_of(std::uint64_t free) {
  return free > kLeftBytes ? (free - kLeftBytes) / kBlockBytes * kBlockBytes : 0;
}

Error no_room_for(std::uint64_t index, std::uint64_t bytes, std::uint64_t free) {
  return Error(Errc::kStorageFull,
               fmt::format("make {}: it takes {} bytes, {} are free", segment_name(index), bytes, free), ENOSPC);
}
}  // namespace

SegmentPool::SegmentPool(Storage& storage, Clock& clock, std::uint64_t bytes_min, Hooks hooks)
    : storage_(storage),
      clock_(clock),
      bytes_min_(bytes_min),
      bytes_floor_(bytes_min),
      wanted_bytes_(bytes_min),
      hooks_(std::move(hooks)) {}

void SegmentPool::start(std::uint64_t next_index) {
  started_ = true;
  next_index_ = next_index + ready_.size();
  run();
}

void SegmentPool::adopt(PreparedSegment segment) {
  INVARIANT(!started_, "segments are adopted before the pool makes its own");
  ready_.push_back(segment);
}

std::optional<PreparedSegment> SegmentPool::take() {
  if (ready_.empty()) return std::nullopt;
  const auto segment = ready_.front();
  ready_.pop_front();
  asked_ = 0;
  expecting_ = true;
  removing_stuck_ = false;
  run();
  return segment;
}

void SegmentPool::want_one_more() {
  asked_ = std::max(asked_, ready_.size() + 1);
  giving_back_ = false;
  run();
}

void SegmentPool::expect_retired(bool soon) {
  if (std::exchange(expecting_, soon) != soon && !failure_) run();
}

void SegmentPool::may_hold(std::uint64_t bytes) {
  if (std::exchange(may_hold_, bytes) > bytes && !failure_) run();
}

void SegmentPool::give_back() {
  if (asked_ == 0 && ready_.size() <= kReadyTarget) return;
  asked_ = 0;
  giving_back_ = true;
  run();
}

void SegmentPool::retire(RetiredSegment segment) {
  retired_.push_back(segment);
  run();
}

void SegmentPool::keep_damaged(RetiredSegment segment) {
  damaged_.push_back(segment);
  run();
}

std::uint64_t SegmentPool::disk_bytes() const {
  std::uint64_t bytes = in_work_bytes_;
  for (const auto& s : ready_) bytes += s.bytes;
  bytes += spare_bytes();
  for (const auto& s : removing_) bytes += s.bytes;
  return bytes;
}

std::uint64_t SegmentPool::spare_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& s : retired_) bytes += s.bytes;
  return bytes;
}

void SegmentPool::tick() {
  if (failure_ && clock_.mono() >= retry_at_) {
    retry_at_ = MonoTime::never();
    removing_stuck_ = false;
    run();
  }
}

void SegmentPool::try_again() {
  if (!failure_ || broken_) return;
  failure_.reset();
  retry_at_ = MonoTime::never();
  removing_stuck_ = false;
  run();
}

void SegmentPool::run() {
  if (!started_ || broken_ || work_.running() || (!wanted() && !failure_)) return;
  if (failure_ && retry_at_ != MonoTime::never() && retired_.empty() && damaged_.empty()) return;
  giving_up_ = ending_ = false;
  work_ = work();
  work_.start();
}

// One thing after the other, until enough segments are ready and nothing waits to be put away.
Task<void> SegmentPool::work() {
  for (;;) {
    if (!wanted()) {
      if (!failure_) {
        was_short_ = false;
        co_return;
      }
      failure_.reset();  // what failed is not wanted any more: then it is no failure either
      if (hooks_.changed) hooks_.changed();
      continue;
    }
    // A full disk may have room for a new one behind it.
    if (is_removing()) {
      co_await go_on_removing();
      if (hooks_.changed) hooks_.changed();
      continue;
    }
    const bool making = wants_new();
    if (making && failure_ && retry_at_ != MonoTime::never()) {
      if (std::exchange(giving_up_, true)) co_return;
      if (hooks_.changed) hooks_.changed();
      continue;  // that may have retired a segment
    }
    Result<void> done;
    // Not `cond ? co_await a : co_await b`: GCC 12 copies the chosen result bit by bit and destroys it twice.
    if (wants_more()) {
      done = co_await make_next();
    } else if (wants_less()) {
      done = co_await give_one_back();
    } else {
      done = co_await put_away();
    }
    if (broken_) {
      if (hooks_.broken) hooks_.broken(done.error());
      co_return;
    }
    if (!done) {
      ending_ = !making || !wants_more();
      failed(std::move(done.error()));
      // An old file is still where it was: not at once again, unless somebody asked for that meanwhile.
      if (failure_ && (!making || !wants_more())) co_return;
      ending_ = false;
      continue;
    }
    giving_up_ = false;
    if (making) failure_.reset();
    if (hooks_.changed) hooks_.changed();
  }
}

Task<Result<void>> SegmentPool::put_away() {
  if (!damaged_.empty()) {
    auto kept = co_await keep_aside(damaged_.front());
    if (kept) damaged_.pop_front();
    co_return kept;
  }
  const auto surplus = retired_.front();
  retired_.pop_front();
  in_work_bytes_ = surplus.bytes;
  auto done = co_await begin_removing(surplus.index, surplus.bytes);
  in_work_bytes_ = 0;
  if (!done && !broken_) retired_.push_front(surplus);  // tried again with the rest
  co_return done;
}

/// It gets a name that no start takes for a segment: from then on its bytes may go.
Task<Result<void>> SegmentPool::begin_removing(std::uint64_t index, std::uint64_t bytes) {
  const auto renamed = co_await io::rename(storage_, segment_name(index), segment_name(index) + kRemoving);
  if (!renamed) {
    // A full disk may have no room for a longer name.
    auto removed = co_await io::remove(storage_, segment_name(index));
    if (!removed && removed.error().code == Errc::kNotFound) co_return Result<void>();
    co_return removed;
  }
  removing_.push_back({index, bytes});
  in_work_bytes_ = 0;
  // A power cut must not bring the old name back, with half of the file.
  co_return co_await sync_names();
}

/// Piece by piece: a disk may stand still for as long as it takes to free a large file at once
/// (StorageFile::truncate_step). What cannot be cut off goes with the name.
Task<void> SegmentPool::go_on_removing() {
  const auto name = segment_name(removing_.front().index) + kRemoving;
  const auto file = co_await io::open(storage_, name, Storage::OpenMode::kReadWrite);
  if (file) {
    const auto cut = co_await io::truncate(storage_, *file, 0);
    if (cut) removing_.front().bytes = 0;
    storage_.close(*file);
  }
  const auto done = co_await io::remove(storage_, name);
  if (done || done.error().code == Errc::kNotFound) {
    removing_.pop_front();
    co_return;
  }
  removing_stuck_ = true;
  if (hooks_.warn) hooks_.warn("cannot remove an old log segment, trying again later: " + done.error().to_string());
}

/// The newest one, so that the numbers of the others stay in order. Its own is given again: it never held anything.
Task<Result<void>> SegmentPool::give_one_back() {
  const auto surplus = ready_.back();
  ready_.pop_back();
  in_work_bytes_ = surplus.bytes;
  auto done = co_await begin_removing(surplus.index, surplus.bytes);
  in_work_bytes_ = 0;
  // Also where that failed: the name may be gone all the same, and nothing must be written behind it then. The file
  // that is made under this number next takes its place.
  storage_.close(surplus.file);
  next_index_ = surplus.index;
  if (done) co_return done;
  giving_back_ = false;  // until somebody asks again
  co_return done;
}

Task<Result<void>> SegmentPool::sync_names() {
  auto done = co_await io::sync_directory(storage_);
  broken_ = !done;
  co_return done;
}

Task<Result<void>> SegmentPool::keep_aside(RetiredSegment segment) {
  auto kept = co_await put_aside(storage_, segment_name(segment.index), ".damaged");
  if (!kept) co_return fail(std::move(kept.error()));
  co_return co_await sync_names();
}

void SegmentPool::failed(Error error) {
  giving_up_ = true;
  const auto now = clock_.mono();
  const bool news = said_errno_ != error.os_errno || now >= said_until_;
  was_short_ = true;
  said_errno_ = error.os_errno;
  said_until_ = now + kSayAgainAfter;
  failure_ = std::move(error);
  retry_at_ = now + kRetryAfter;
  if (news && hooks_.warn) {
    hooks_.warn(fmt::format("cannot make the next log segment, trying again each second: {}{}", failure_->to_string(),
                            remedy_for(failure_->os_errno)));
  }
  if (hooks_.changed) hooks_.changed();
}

Task<Result<void>> SegmentPool::make_next() {
  const auto index = next_index_;
  Result<FileId> file = fail(Errc::kStorageFull, "no room");
  std::uint64_t bytes = std::max(wanted_bytes_, bytes_floor_);
  if (!retired_.empty()) {
    const auto from = retired_.front();
    retired_.pop_front();
    // Not all the way at once: while a queue is drained that would be zeros for segments that nobody needs.
    bytes = std::max(std::min(bytes, 2 * from.bytes), bytes_floor_);
    in_work_bytes_ = std::max(from.bytes, bytes);
    if (from.bytes < bytes) {
      const auto free = co_await io::free_space(storage_);
      if (was_short_ || (free && *free < bytes - from.bytes)) bytes = from.bytes;
    }
    if (bytes < std::max(bytes_to_fit_, kSegmentBytesLeast)) {
      // The largest record of the log, or batch, would not fit into it, and all that follow would wait behind that one.
      retired_.push_front(from);
      in_work_bytes_ = 0;
      co_return co_await put_away();
    }
    file = co_await recycle_file(from, segment_name(index), bytes);
    if (file) ++recycled_;
  } else {
    const auto free = co_await io::free_space(storage_);
    if (was_short_ || (free && *free < bytes)) bytes = bytes_floor_;
    if (free && *free < bytes) bytes = std::max({bytes_min_, bytes_to_fit_, nearly_all_of(*free)});
    // Tried all the same, it would fill the disk each second and take the last bytes from everybody.
    if (free && *free < bytes) co_return fail(no_room_for(index, bytes, *free));
    in_work_bytes_ = bytes;
    file = co_await create_file(segment_name(index), bytes);
  }
  in_work_bytes_ = 0;
  if (!file) co_return fail(std::move(file.error()));
  ready_.push_back({index, bytes, *file});
  ++next_index_;
  co_return Result<void>();
}

Task<Result<FileId>> SegmentPool::create_file(std::string final_name, std::uint64_t bytes) {
  const std::string making = final_name + ".new";
  static_cast<void>(co_await io::remove(storage_, making));  // of an attempt that failed
  auto file = co_await io::open(storage_, making, Storage::OpenMode::kCreate);
  if (!file) co_return fail(std::move(file.error()));
  auto done = co_await io::zero_fill(storage_, *file, 0, bytes);
  if (done) done = co_await io::sync(storage_, *file);
  if (done) done = co_await io::rename(storage_, making, final_name);
  if (done) done = co_await sync_names();
  if (done) co_return *file;
  storage_.close(*file);
  if (broken_) co_return fail(std::move(done.error()));
  static_cast<void>(co_await io::remove(storage_, making));
  static_cast<void>(co_await io::remove(storage_, final_name));
  co_return fail(std::move(done.error()));
}

Task<Result<FileId>> SegmentPool::recycle_file(RetiredSegment from, std::string final_name, std::uint64_t bytes) {
  auto done = co_await io::rename(storage_, segment_name(from.index), final_name);
  if (!done) {
    // Nothing moved. The file stays where it is; the next start takes it back.
    co_return fail(std::move(done.error()));
  }
  // Before the file changes: a power cut may bring its old name back, and there its header says how long it is.
  done = co_await sync_names();
  Result<FileId> file = fail(Errc::kStorageFailed, "not opened");
  if (done) file = co_await io::open(storage_, final_name, Storage::OpenMode::kReadWrite);
  if (done && file) {
    if (from.bytes > bytes) done = co_await io::truncate(storage_, *file, bytes);
    if (from.bytes < bytes) done = co_await io::zero_fill(storage_, *file, from.bytes, bytes);
    if (done && from.bytes != bytes) done = co_await io::sync(storage_, *file);
    if (done) co_return *file;
    storage_.close(*file);
  } else if (done) {
    done = fail(file.error());
  }
  if (broken_) co_return fail(std::move(done.error()));
  static_cast<void>(co_await io::remove(storage_, final_name));
  co_return fail(std::move(done.error()));
}

}  // namespace qh::queue::wal
