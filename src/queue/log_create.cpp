// Recovery's other half: where nothing was stored yet, a queue is made.
#include <algorithm>

#include "base/codec.h"
#include "base/storage_await.h"
#include "queue/log_recovery.h"

namespace qh::queue::wal {
namespace {

QueueId random_id(Rng& rng) {
  QueueId id;
  store_le(id.data(), rng.next());
  store_le(id.data() + 8, rng.next());
  return id;
}

}  // namespace

Task<Result<FileId>> Recovery::make_file(std::string name, std::uint64_t bytes) {
  static_cast<void>(co_await io::remove(storage_, name));  // of a creation that was cut off
  auto file = co_await io::open(storage_, name, Storage::OpenMode::kCreate);
  if (!file) co_return file;
  auto done = co_await io::zero_fill(storage_, *file, 0, bytes);
  if (done) done = co_await io::sync(storage_, *file);
  if (!done) {
    storage_.close(*file);
    static_cast<void>(co_await io::remove(storage_, name));
    co_return fail(std::move(done.error()));
  }
  co_return file;
}

// True where there is nothing, or no more than a creation leaves behind that was cut off: no identity, a first
// segment with nothing behind its header (itself whole, torn or not there yet), an empty mark. A file that only has
// the name of a segment is none of that.
Task<Result<bool>> Recovery::nothing_was_stored() {
  if (has_identity_) co_return false;
  if (const auto* removing = being_removed()) {
    if (!segments_.empty()) co_return false;
    co_return damage(removing->name, "is of a queue that was used, though there is neither an identity nor a segment");
  }
  for (const auto& [index, segment] : segments_) {
    const bool first = index == 1 && (!segment.header || segment.header->index == 1) &&
                       (segment.damage.empty() || segment.torn_header);
    if (!first && (segment.header || !segment.damage.empty())) co_return false;
    auto loaded = co_await load(index, Storage::ReadPath::kDevice);
    if (!loaded) co_return fail(std::move(loaded.error()));
    if (!is_zero(view_.subspan(std::min<std::size_t>(kBlockBytes, view_.size())))) co_return false;
  }
  if (!has_mark_) co_return true;
  AlignedBuffer mark(2 * kBlockBytes);
  auto file = co_await io::open(storage_, std::string(kMarkName), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  const auto got = co_await io::read(storage_, *file, 0, mark.span(), Storage::ReadPath::kDevice);
  storage_.close(*file);
  if (!got) co_return fail(got.error());
  if (is_zero(mark.view())) co_return true;
  if (!segments_.empty()) co_return false;
  co_return damage(std::string(kMarkName),
                   "says that records were stored, though there is neither an identity nor a segment");
}

/// One of the segments whose removal was cut off.
const Recovery::SegmentFile* Recovery::being_removed() const {
  const auto found =
      std::ranges::find_if(leftovers_, [](const auto& file) { return file.name.ends_with(kRemovingSuffix); });
  return found == leftovers_.end() ? nullptr : &*found;
}

tl::unexpected<Error> Recovery::no_queue() const {
  if (segments_.empty() && !has_mark_ && leftovers_.empty())
    return fail(Errc::kNotFound, "there is no queue in this directory: neither an identity nor a segment");
  if (const auto* removing = being_removed()) {
    return fail(Error(Errc::kNotFound, "there is nothing to save: of the queue that was in this directory only " +
                                           removing->name +
                                           " is left, a part of a segment that was not needed any more. Put its other "
                                           "files back, or move this one away: then a start makes a new queue"));
  }
  return fail(Error(Errc::kNotFound,
                    "there is no queue in this directory: its creation was cut off, or goes on, and nothing was stored")
                  .about(kHalfMade));
}

// The identity comes last: without it there has never been anything to lose.
Task<Result<void>> Recovery::create() {
  const auto bytes = options_.segment_bytes_min;
  SegmentHeader header;
  header.index = 1;
  header.bytes = bytes;
  header.life = rng_.next();
  header.first_seq = header.durable_seq = 1;
  header.queue_id = random_id(rng_);
  header.created_at = clock_.wall();
  header.queue_name = options_.name;
  for (const auto& [index, segment] : segments_) {
    auto removed = co_await io::remove(storage_, segment_name(index));  // nothing was stored in it
    if (!removed) co_return removed;
  }
  auto segment = co_await make_file(segment_name(1), bytes);
  if (!segment) co_return fail(std::move(segment.error()).in("create the log"));
  AlignedBuffer block(kBlockBytes);
  encode_header(header, block.span());
  auto done = co_await io::write(storage_, *segment, 0, block.view(), Storage::Durability::kDurable);
  if (!done) co_return done;
  auto mark = co_await make_file(std::string(kMarkName), 2 * kBlockBytes);
  if (!mark) co_return fail(std::move(mark.error()).in("create the mark file"));

  const auto making = std::string(kIdentityName) + ".new";
  auto identity = co_await make_file(making, kBlockBytes);
  if (!identity) co_return fail(std::move(identity.error()).in("create the identity"));
  encode_identity({header.queue_id, header.queue_name}, block.span());
  done = co_await io::write(storage_, *identity, 0, block.view(), Storage::Durability::kDurable);
  storage_.close(*identity);
  if (done) done = co_await io::sync_directory(storage_);
  if (done) done = co_await io::rename(storage_, making, std::string(kIdentityName));
  if (done) done = co_await io::sync_directory(storage_);
  if (!done) co_return done;

  out_.segments.push_back({1, bytes, 1});
  replay_.on_segment(out_.segments.back());
  replay_.on_state(header.state);
  out_.start.queue_id = header.queue_id;
  out_.start.queue_name = header.queue_name;
  out_.start.segment = {1, bytes, *segment};
  out_.start.life = header.life;
  out_.start.next_ordinal = 2;
  out_.start.mark_file = *mark;
  out_.report.created = true;
  out_.report.segments = 1;
  co_return Result<void>();
}

}  // namespace qh::queue::wal
