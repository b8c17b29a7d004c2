// The second half of recovery: from "this is what the log says" to "it can be written again".
#include <algorithm>
#include <ranges>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_recovery.h"
#include "queue/put_aside.h"

namespace qh::queue::wal {

/// What stands behind the log's end was never acknowledged. It is kept for whoever wants to look; where the disk has no
/// room for that, the log goes on all the same.
Task<Result<void>> Recovery::set_torn_aside() {
  if (end_.fault.empty()) co_return Result<void>();
  const auto segment = segment_name(last_index_);
  auto loaded = co_await load(last_index_, Storage::ReadPath::kDevice);
  if (!loaded) co_return loaded;
  const auto end = std::min<std::uint64_t>(end_.fault_end, view_.size());
  const auto torn = view_.subspan(end_.offset, end - end_.offset);
  out_.report.torn_bytes += torn.size();
  const auto what = fmt::format("{}: torn tail at offset {} ({}): {} bytes that were never acknowledged", segment,
                                end_.offset, end_.fault, torn.size());
  auto kept = co_await write_torn(fmt::format("{}.{}.torn", segment, end_.offset), torn);
  if (!kept && kept.error().code != Errc::kStorageFull) co_return fail(std::move(kept.error()));
  note(kept ? what + " are kept in " + *kept : what + " are given up: the disk has no room to keep them");
  co_return Result<void>();
}

/// The log goes on where it ended, in the same segment: on a full disk the rest of that one may be all the room that
/// takes have. So all behind it is zero, durably, before anything follows what was read, also what no batch record
/// stands in front of any more: half of a lost batch could make one that checks with half of a new one.
Task<Result<void>> Recovery::cut_off_torn(FileId segment) {
  if (end_.written_end <= end_.offset) co_return Result<void>();
  auto done = co_await io::zero_fill(storage_, segment, end_.offset, end_.written_end);
  if (done) done = co_await io::sync(storage_, segment);
  co_return done;
}

/// Whether a file of this name is there that a recovery began to write which was cut off: nothing but the same bytes,
/// and zeros.
Task<Result<bool>> Recovery::is_begun_copy(std::string name, ByteView of) {
  auto file = co_await io::open(storage_, std::move(name), Storage::OpenMode::kRead);
  if (!file && file.error().code == Errc::kNotFound) co_return false;
  if (!file) co_return fail(std::move(file.error()));
  AlignedBuffer there(align_up(of.size() + 1, kBlockBytes));
  const auto got = co_await io::read(storage_, *file, 0, there.span(), Storage::ReadPath::kCached);
  storage_.close(*file);
  if (!got) co_return fail(got.error());
  if (*got > of.size()) co_return false;
  co_return std::equal(there.data(), there.data() + *got, of.begin(),
                       [](std::byte is, std::byte was) { return is == was || is == std::byte{0}; });
}

/// Answers the name that it got.
Task<Result<std::string>> Recovery::write_torn(std::string name, ByteView torn) {
  const auto begun = co_await is_begun_copy(name, torn);
  if (!begun) co_return fail(begun.error());
  if (*begun) static_cast<void>(co_await io::remove(storage_, name));
  auto free = co_await free_name(storage_, std::move(name));
  if (!free) co_return free;
  auto file = co_await io::open(storage_, *free, Storage::OpenMode::kCreate);
  if (!file) co_return fail(std::move(file.error()));
  auto done = co_await io::write(storage_, *file, 0, torn, Storage::Durability::kDurable);
  storage_.close(*file);
  if (done) done = co_await io::sync_directory(storage_);
  if (done) co_return free;
  static_cast<void>(co_await io::remove(storage_, *free));
  co_return fail(std::move(done.error()));
}

Task<Result<void>> Recovery::aside(std::string name, std::string_view suffix, std::string why) {
  auto kept = co_await put_aside(storage_, name, std::string(suffix));
  if (!kept) co_return fail(std::move(kept.error()));
  all_names_.push_back(*kept);
  note(fmt::format("{}: {}; kept as {}", name, why, *kept));
  co_return Result<void>();
}

/// No seal names a segment behind the log's end. The next one, when its header does not check but may be one that was
/// being written, was being made when the process ended, unless it holds a batch that follows what was read.
Task<bool> Recovery::torn_creation(std::uint64_t index) {
  const auto& segment = segments_.at(index);
  if (index != last_index_ + 1 || !segment.torn_header) co_return false;
  const auto loaded = co_await load(index, Storage::ReadPath::kDevice);
  if (!loaded) co_return false;
  for (std::uint64_t at = kBlockBytes; at + kBlockBytes <= view_.size(); at += kBlockBytes) {
    const auto batch = read_batch_record(view_.subspan(at));
    if (batch && batch->first.seq >= next_seq_) co_return false;
  }
  co_return true;
}

/// What only looks unused is unknown, and so is what cannot be read. `follows`: behind the last segment without a gap,
/// as the pool numbers what it makes ready.
Task<Recovery::Leaving> Recovery::leaving(std::uint64_t index, bool follows) {
  const auto& segment = segments_.at(index);
  const bool torn = co_await torn_creation(index);
  if (torn) co_return Leaving::kTorn;
  if (!segment.damage.empty()) co_return Leaving::kUnknown;
  if (!segment.header) {
    const auto loaded = co_await load(index, Storage::ReadPath::kDevice);  // as the header was
    co_return loaded&& is_zero(view_) ? Leaving::kFree : Leaving::kUnknown;
  }
  const auto& header = *segment.header;
  const auto head = out_.segments.front().index;
  // Behind the last: a header without a batch, of a creation that was cut off before a seal named it.
  if (in_log(index)) co_return index<head || index> last_index_ ? Leaving::kFree : Leaving::kUnknown;
  co_return is_ours(header) && header.index < head&& follows ? Leaving::kFree : Leaving::kUnknown;
}

std::string Recovery::why_unknown(const SegmentFile& segment) const {
  if (!segment.damage.empty()) return segment.damage;
  if (!segment.header) return "its header is zeros, what is behind it is not, or cannot be read";
  if (!is_ours(*segment.header)) return "of another queue, " + segment.header->queue_name;
  return fmt::format("its header says segment {}", segment.header->index);
}

// Prepared segments are used again; what belonged to the log once is retired; what is neither is set aside.
Task<Result<void>> Recovery::sort_other_files() {
  std::uint64_t next = last_index_ + 1;  // to be made ready
  std::uint64_t run = last_index_ + 1;   // to follow without a gap
  const auto bytes_min = replay_.prepared_bytes_min();
  const AlignedBuffer zeros(kBlockBytes);
  std::vector<std::string> of_no_use;
  for (const auto& [index, segment] : segments_) {
    if (was_read(index)) continue;
    const bool follows = index == run;
    if (follows) ++run;
    const auto what = co_await leaving(index, follows);
    Result<void> done;
    if (what == Leaving::kUnknown) {
      done = co_await aside(segment.name, ".unknown", "not part of this log (" + why_unknown(segment) + ")");
    } else if (what == Leaving::kFree && index == next && segment.bytes >= bytes_min &&
               segment.bytes % kBlockBytes == 0) {
      auto file = co_await io::open(storage_, segment.name, Storage::OpenMode::kReadWrite);
      if (!file) co_return fail(std::move(file.error()));
      // It may have been cut off before its size was synced, or after that failed: its last block, written
      // durably, makes the size so.
      done =
          co_await io::write(storage_, *file, segment.bytes - kBlockBytes, zeros.view(), Storage::Durability::kDurable);
      if (done) out_.prepared.push_back({index, segment.bytes, *file});
      ++next;
    } else if (index < last_index_) {
      out_.retired.push_back({index, segment.bytes});
    } else {
      // Torn, or ready but of no use: a gap, an odd size, or too small. Its number will be given again, so it must not
      // wait.
      of_no_use.push_back(segment.name);
    }
    if (!done) co_return done;
  }
  // From the last one on: where this is cut off, those that are left still follow without a gap.
  for (const auto& name : std::views::reverse(of_no_use)) {
    auto done = co_await io::remove(storage_, name);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::make_ready() {
  const auto& header = *segments_.at(last_index_).header;
  out_.start.queue_id = header.queue_id;
  out_.start.queue_name = header.queue_name;
  out_.start.life = last_life_;
  out_.start.offset = end_.offset;
  out_.start.next_seq = next_seq_;
  out_.start.next_ordinal = out_.segments.size() + 1;
  // First: on a full disk they may be what fills it.
  for (const auto& file : leftovers_) static_cast<void>(co_await io::remove(storage_, file.name));
  auto done = co_await sync_what_was_read();
  if (done) done = co_await set_torn_aside();
  if (!done) co_return done;
  auto file = co_await io::open(storage_, segment_name(last_index_), Storage::OpenMode::kReadWrite);
  if (!file) co_return fail(std::move(file.error()));
  out_.start.segment = {last_index_, header.bytes, *file};
  done = co_await cut_off_torn(*file);
  if (done) done = co_await sort_other_files();
  if (done) done = co_await make_identity_and_mark();
  if (done) done = co_await io::sync_directory(storage_);
  co_return done;
}

/// Before anything is done on the word of what was read, it is durable: the last segment, and the seal that names it,
/// which a killed process may have left in the cache of the disk.
Task<Result<void>> Recovery::sync_what_was_read() {
  const auto& read = out_.segments;
  for (auto i = read.size() - std::min<std::size_t>(2, read.size()); i < read.size(); ++i) {
    auto file = co_await io::open(storage_, segments_.at(read[i].index).name, Storage::OpenMode::kReadWrite);
    if (!file) co_return fail(std::move(file.error()));
    auto done = co_await io::sync(storage_, *file);
    storage_.close(*file);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::make_identity_and_mark() {
  Result<void> done;
  if (!identity_) {
    const auto making = std::string(kIdentityName) + ".new";
    auto identity = co_await make_file(making, kBlockBytes);
    if (!identity) co_return fail(std::move(identity.error()));
    AlignedBuffer block(kBlockBytes);
    encode_identity({out_.start.queue_id, out_.start.queue_name}, block.span());
    done = co_await io::write(storage_, *identity, 0, block.view(), Storage::Durability::kDurable);
    storage_.close(*identity);
    if (done) done = co_await io::rename(storage_, making, std::string(kIdentityName));
    if (!done) co_return done;
  }
  auto mark = co_await io::open(storage_, std::string(kMarkName), Storage::OpenMode::kReadWrite);
  if (!mark && mark.error().code == Errc::kNotFound) mark = co_await make_file(std::string(kMarkName), 2 * kBlockBytes);
  if (!mark) co_return fail(std::move(mark.error()));
  out_.start.mark_file = *mark;
  co_return done;
}

}  // namespace qh::queue::wal
