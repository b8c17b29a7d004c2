// Recovery that reads on behind damage: what can be read, and what is lost.
//
// The law of what is torn is that of any start: above the known-durable mark nothing was acknowledged for sure, and the
// first fault ends the log. Below it every record counts that checks by itself, whatever became of its batch. That may
// be a part of what was submitted as one: it was whole, and acknowledged, so each message left of it is owed.
#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_recovery.h"

namespace qh::queue::wal {

bool Recovery::is_damaged(std::uint64_t index) const {
  return std::find(out_.damaged_files.begin(), out_.damaged_files.end(), segment_name(index)) !=
         out_.damaged_files.end();
}

void Recovery::damaged(std::uint64_t index) {
  if (segments_.contains(index) && !is_damaged(index)) out_.damaged_files.push_back(segment_name(index));
}

/// Says that the records from the one that is expected next up to `to_seq` cannot be read.
void Recovery::lose(std::uint64_t index, std::uint64_t offset, std::uint64_t to_seq, std::string why, bool at_least) {
  out_.lost.push_back({segment_name(index), offset, next_seq_, to_seq, std::move(why), at_least});
  damaged(index);
  replay_.on_gap(next_seq_, to_seq);
}

void Recovery::no_record_lost(std::uint64_t index, std::uint64_t offset, std::string why) {
  out_.lost.push_back({segment_name(index), offset, next_seq_, next_seq_ - 1, std::move(why)});
  damaged(index);
}

/// Why a segment of the log is of no use.
std::string Recovery::why_lost(std::uint64_t index) const {
  const auto it = segments_.find(index);
  if (it == segments_.end()) {
    return head_in_doubt_ && index == head_
               ? "the file is missing; what cannot be read elsewhere may have said that it is not needed any more"
               : "the file is missing";
  }
  const auto& segment = it->second;
  if (!segment.damage.empty()) return segment.damage;
  if (!segment.header) return "its header is zeros";
  if (!in_log(index)) return why_unknown(segment);
  return "it is of another life than the one the log names";
}

/// What cannot be read counts as zeros, which are no records.
Task<Result<void>> Recovery::read_by_block(const SegmentFile& segment) {
  const auto bytes = segment.bytes;
  auto file = co_await io::open(storage_, segment.name, Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
  std::uint64_t at = 0;
  while (at < bytes) {
    const auto block = buffer_.span().subspan(at, std::min<std::uint64_t>(kBlockBytes, bytes - at));
    const auto got = co_await io::read(storage_, *file, at, block, Storage::ReadPath::kDevice);
    const std::size_t have = got ? *got : 0;
    unreadable_ = unreadable_ || !got;
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(have), block.end(), std::byte{0});
    at += block.size();
  }
  storage_.close(*file);
  view_ = buffer_.view().first(bytes);
  out_.report.bytes += bytes;
  co_return Result<void>();
}

std::uint64_t Recovery::newest_in_log() const {
  std::uint64_t newest = 0;
  for (const auto& [index, segment] : segments_) {
    if (in_log(index)) newest = index;
  }
  return newest;
}

/// Whether records may stand in a segment that no seal names: something before it is missing, or a later one is there.
bool Recovery::may_follow(std::uint64_t index) const {
  return out_.segments.empty() || !end_.fault.empty() || durable_seq_ > next_seq_ || index < newest_in_log();
}

/// Whether a segment's records can be read. One whose header is lost is read by the life number that its
/// batches carry, when that is surely the life that the log means.
Task<Result<bool>> Recovery::usable(std::uint64_t index) {
  const auto it = segments_.find(index);
  if (it == segments_.end()) co_return false;
  auto& segment = it->second;
  const bool named = seal_ && seal_->next_segment == index;
  if (in_log(index)) co_return !named || seal_->next_life == segment.header->life;
  if (segment.header || (!named && !may_follow(index))) co_return false;
  auto loaded = co_await load(index, Storage::ReadPath::kDevice);
  if (!loaded) co_return fail(std::move(loaded.error()));
  const bool bounded = in_log(index + 1);
  for (std::uint64_t at = kBlockBytes; at + kBlockBytes <= view_.size(); at += kBlockBytes) {
    const auto batch = read_batch_record(view_.subspan(at));
    if (!batch) continue;
    const auto seq = batch->first.seq;
    if (named ? batch->second.life != seal_->next_life : seq < next_seq_) continue;
    if (bounded && seq > segments_.at(index + 1).header->first_seq) continue;
    SegmentHeader header;
    header.index = index;
    header.bytes = segment.bytes;
    header.life = batch->second.life;
    header.first_seq = header.durable_seq = named ? next_seq_ : seq;
    header.queue_id = *queue_id_;
    segment.header = header;
    segment.adopted = true;
    segment.adopted_late = at != kBlockBytes;
    co_return true;
  }
  co_return false;
}

/// Below it the records of this segment were durable. One that was begun later starts with the record behind the last
/// of them: what stands here beyond that was a torn tail by then, and its numbers were given again. A header alone does
/// not say that: where a cut came behind it, the log went on in the segment before.
std::uint64_t Recovery::durable_in(std::uint64_t index) const {
  return std::min(durable_seq_, first_seq_behind(index));
}

std::uint64_t Recovery::first_seq_behind(std::uint64_t index) const {
  for (auto it = segments_.upper_bound(index); it != segments_.end(); ++it) {
    if (in_log(it->first) && it->second.begun) return it->second.header->first_seq;
  }
  return UINT64_MAX;
}

/// A header that no seal names and nothing follows: a cut came behind it, and the log went on in the segment before.
bool Recovery::was_never_used(std::uint64_t index) const {
  const auto it = segments_.find(index);
  if (it == segments_.end() || !it->second.unused) return false;
  return std::none_of(std::next(it), segments_.end(),
                      [&](const auto& later) { return in_log(later.first) && !later.second.unused; });
}

// -- Behind a fault ----------------------------------------------------------------------------------------

/// Behind a fault below the known-durable mark: each record that checks, then on from the next whole batch. False:
/// that was all of this segment.
bool Recovery::read_behind_fault(std::uint64_t index, ByteView file, RecordVisitor& visit) {
  const bool last = index >= newest_in_log();
  const auto durable = durable_in(index);
  if (end_.seal || (durable <= next_seq_ && last)) return false;
  const bool resumes = end_.resume_offset && end_.resume_seq <= durable;
  const auto why = end_.fault.empty() ? std::string("the log ends too early") : end_.fault;
  const RecordSearch where{end_.offset, resumes ? *end_.resume_offset : file.size(), next_seq_,
                           resumes ? end_.resume_seq : std::max(durable, next_seq_)};
  RecordVisitor each = [&](const RecordView& record, std::uint64_t offset) {
    if (record.seq > next_seq_) lose(index, end_.offset, record.seq - 1, why);
    next_seq_ = record.seq;
    visit(record, offset);
    if (const auto seal = seal_in(record)) end_.seal = seal;
    end_.offset = offset + record.bytes;
    if (!is_logical(record.type)) return;
    ++next_seq_;
    ++out_.report.records;
  };
  const auto lost_before = out_.lost.size();
  scan_records(file, last_life_, where, each);
  if (resumes && where.max_seq > next_seq_) lose(index, end_.offset, where.max_seq - 1, why);
  if (out_.lost.size() == lost_before && (resumes || end_.seal || next_seq_ >= where.max_seq) && !end_.fault.empty())
    no_record_lost(index, where.from, why);
  if (!resumes || end_.seal) return false;
  end_ = scan_segment(file, last_life_, where.to, where.max_seq, visit);
  return true;
}

/// The segment `index` can be read: what is lost between it and the one that was read before.
void Recovery::lose_before(std::uint64_t index, std::uint64_t culprit, bool any) {
  const auto& segment = segments_.at(index);
  const auto first = segment.header->first_seq;
  if (!any && (culprit != 0 || segment.adopted_late)) next_seq_ = 0;  // nobody knows which record was the first
  if ((any || culprit != 0) && first > next_seq_) {
    if (culprit != 0)
      lose(culprit, 0, first - 1, why_lost(culprit));
    else
      lose(last_index_, end_.offset, first - 1, end_.fault.empty() ? "the log ends too early" : end_.fault);
  } else if (any && !end_.seal) {
    no_record_lost(last_index_, end_.offset, "the seal that names the next segment does not check");
  }
  if (!segment.adopted) return;
  if (any || culprit != 0 || !segment.adopted_late) next_seq_ = std::max(next_seq_, first);
  lose(index, 0, first - 1,
       "the header is lost (" + (segment.damage.empty() ? "zeros" : segment.damage) +
           "); its records were read without it");
}

/// What is lost at the end: nobody follows who would know how much, unless the last batch says so itself.
void Recovery::lose_at_end(std::uint64_t culprit, bool any) {
  const auto last_durable = durable_seq_ > next_seq_ ? durable_seq_ - 1 : 0;
  if (culprit != 0 && (end_.seal || !any)) {
    if (any || last_durable != 0)
      lose(culprit, 0, last_durable, why_lost(culprit), true);
    else
      lose(culprit, 0, 0, "nothing of it can be read");
    return;
  }
  if (!any) return lose(1, 0, last_durable, "no segment is left", true);
  const auto& last = segments_.at(last_index_);
  const bool cut = last.bytes < last.header->bytes;
  if (last_durable == 0 && !cut) return;
  const bool counted = !cut && !last.adopted && end_.counted_seq && *end_.counted_seq >= durable_seq_;
  lose(last_index_, end_.offset, last_durable,
       cut                  ? "the file is cut short here"
       : end_.fault.empty() ? "the log ends here, though more was known to be durable"
                            : end_.fault,
       !counted);
}

// -- All of it ---------------------------------------------------------------------------------------------

Task<Result<void>> Recovery::salvage_log() {
  auto done = co_await whose_log();
  if (done) done = co_await read_mark();
  if (done) done = co_await find_begun();
  if (done) done = co_await find_head();
  if (!done) co_return done;
  find_misplaced();
  done = co_await find_head();
  if (!done) co_return done;
  for (const auto& [index, segment] : segments_) {
    if (in_log(index)) durable_seq_ = std::max(durable_seq_, segment.header->durable_seq);
  }
  done = co_await read_what_is_there();
  if (keep_all_) {
    for (const auto& segment : out_.segments) damaged(segment.index);
  }
  out_.report.segments = out_.segments.size();
  co_return done;
}

Task<Result<void>> Recovery::read_what_is_there() {
  const auto newest = newest_in_log();
  bool any = false;
  std::uint64_t culprit = 0;  // the first that could not be read since the last that could
  std::uint64_t index = head_ != 0 || segments_.empty() ? head_ : segments_.begin()->first;
  while (index != 0) {
    const bool is_next = seal_ && seal_->next_segment == index;
    const bool passed_over = any && !is_next && was_never_used(index);
    auto good = co_await usable(index);
    if (!good) co_return fail(std::move(good.error()));
    if (passed_over) {
      // As by a start.
    } else if (*good) {
      lose_before(index, culprit, any);
      culprit = 0;
      auto read = co_await read_segment(index);
      if (!read) co_return fail(std::move(read.error()));
      if (segments_.at(index).bytes < segments_.at(index).header->bytes) damaged(index);
      any = true;
    } else if (index <= newest || is_next || newest == 0) {
      if (culprit == 0) culprit = index;
      damaged(index);
    }
    const auto next = segments_.upper_bound(index);
    const bool named = seal_ && seal_->next_segment == index + 1;
    if (named)
      index = index + 1;
    else
      index = next == segments_.end() ? 0 : next->first;
  }
  lose_at_end(culprit, any);
  co_return Result<void>();
}

}  // namespace qh::queue::wal
