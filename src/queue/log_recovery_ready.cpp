// The second half of recovery: from "this is what the log says" to "it can be written again".
#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_recovery.h"

namespace qh::queue::wal {

/// What stands behind the log's end was never acknowledged. It is kept for whoever wants to look; where the disk has no
/// room for that, the log goes on all the same.
Task<Result<void>> Recovery::set_torn_aside() {
  if (end_.fault.empty()) co_return Result<void>();
  const auto segment = segment_name(last_index_);
  const auto name = fmt::format("{}.{}.torn", segment, end_.offset);
  auto loaded = co_await load(last_index_, Storage::ReadPath::kDevice);
  if (!loaded) co_return loaded;
  const auto end = std::min<std::uint64_t>(end_.fault_end, view_.size());
  const auto torn = view_.subspan(end_.offset, end - end_.offset);
  out_.report.torn_bytes += torn.size();
  out_.start.roll_first = true;
  const auto what = fmt::format("{}: torn tail at offset {} ({}): {} bytes that were never acknowledged", segment,
                                end_.offset, end_.fault, torn.size());
  auto kept = co_await write_torn(name, torn);
  if (!kept && kept.error().code != Errc::kStorageFull) co_return kept;
  note(kept ? what + " are kept in " + name : what + " are given up: the disk has no room to keep them");
  co_return Result<void>();
}

Task<Result<void>> Recovery::write_torn(const std::string& name, ByteView torn) {
  static_cast<void>(co_await io::remove(storage_, name));  // of a recovery that was cut off
  auto file = co_await io::open(storage_, name, Storage::OpenMode::kCreate);
  if (!file) co_return fail(std::move(file.error()));
  auto done = co_await io::write(storage_, *file, 0, torn, Storage::Durability::kDurable);
  storage_.close(*file);
  if (done) done = co_await io::sync_directory(storage_);
  if (!done) static_cast<void>(co_await io::remove(storage_, name));
  co_return done;
}

/// No seal names a segment behind the log's end. One whose header does not check was being made when the process ended,
/// unless it holds a batch that follows what was read.
Task<Result<bool>> Recovery::torn_creation(std::uint64_t index) {
  const auto& segment = segments_.at(index);
  if (index <= last_index_ || segment.damage.empty()) co_return false;
  auto loaded = co_await load(index, Storage::ReadPath::kDevice);
  if (!loaded) co_return fail(std::move(loaded.error()));
  for (std::uint64_t at = kBlockBytes; at + kBlockBytes <= view_.size(); at += kBlockBytes) {
    const auto batch = read_batch_record(view_.subspan(at));
    if (batch && batch->first.seq >= next_seq_) co_return false;
  }
  co_return true;
}

// Prepared segments are used again; what belonged to the log once is retired; what is neither is set aside.
Task<Result<void>> Recovery::sort_other_files() {
  std::uint64_t next = last_index_ + 1;
  const auto bytes_min = std::max(options_.segment_bytes_min, replay_.segment_bytes_needed());
  const AlignedBuffer zeros(kBlockBytes);
  for (const auto& [index, segment] : segments_) {
    if (std::any_of(out_.segments.begin(), out_.segments.end(), [&, i = index](const auto& s) { return s.index == i; }))
      continue;
    const bool ours = segment.damage.empty() && (!segment.header || segment.header->queue_id == out_.start.queue_id);
    const auto name = segment_name(index);
    const auto torn = co_await torn_creation(index);
    if (!torn) co_return fail(torn.error());
    if (*torn) {
      auto removed = co_await io::remove(storage_, name);
      if (!removed) co_return removed;
    } else if (!ours) {
      auto aside = co_await io::rename(storage_, name, name + ".unknown");
      if (!aside) co_return aside;
      note(fmt::format("{}: not part of this log ({}); kept as {}.unknown", name,
                       segment.damage.empty() ? "of another queue" : segment.damage, name));
    } else if (index == next && segment.bytes >= bytes_min && segment.bytes % kBlockBytes == 0) {
      auto file = co_await io::open(storage_, name, Storage::OpenMode::kReadWrite);
      if (!file) co_return fail(std::move(file.error()));
      // It may have been cut off before its size was synced, or after that failed: its last block, written
      // durably, makes the size so.
      auto sized =
          co_await io::write(storage_, *file, segment.bytes - kBlockBytes, zeros.view(), Storage::Durability::kDurable);
      if (!sized) co_return sized;
      out_.prepared.push_back({index, segment.bytes, *file});
      ++next;
    } else if (index < last_index_) {
      out_.retired.push_back({index, segment.bytes});
    } else {
      // Prepared, but of no use: a gap or an odd size. Its number will be given again, so it must not wait.
      auto removed = co_await io::remove(storage_, name);
      if (!removed) co_return removed;
    }
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
  for (const auto& name : leftovers_) static_cast<void>(co_await io::remove(storage_, name));
  auto done = co_await set_torn_aside();
  if (!done) co_return done;
  auto file = co_await io::open(storage_, segment_name(last_index_), Storage::OpenMode::kReadWrite);
  if (!file) co_return fail(std::move(file.error()));
  out_.start.segment = {last_index_, header.bytes, *file};
  done = co_await sort_other_files();
  if (done) done = co_await make_identity_and_mark();
  if (!done) co_return done;
  // Before the first answer, all that was read is durable: the last segment, and the seal that names it, which a
  // killed process may have left in the cache of the disk.
  done = co_await io::sync(storage_, *file);
  if (done && out_.segments.size() > 1) done = co_await sync_segment(out_.segments[out_.segments.size() - 2].index);
  if (done) done = co_await io::sync_directory(storage_);
  co_return done;
}

Task<Result<void>> Recovery::sync_segment(std::uint64_t index) {
  auto file = co_await io::open(storage_, segment_name(index), Storage::OpenMode::kReadWrite);
  if (!file) co_return fail(std::move(file.error()));
  auto done = co_await io::sync(storage_, *file);
  storage_.close(*file);
  co_return done;
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
