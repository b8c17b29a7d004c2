// Recovery that reads on behind damage: what can be read, what is lost, and a new segment to go on in.
//
// Nothing is written into a segment that is there, and no number that was ever used is given again. Until the
// new segments hold all that is alive and a durable record says that the log starts there, the old ones stay
// as they are, and a start refuses them as before: a repair that is cut off is begun anew and finds the same.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/storage_await.h"
#include "queue/log_recovery.h"

namespace qh::queue::wal {
namespace {

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// The number that a name starts with, also in "00000007.wal.damaged".
std::uint64_t number_of(std::string_view name) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const auto rest = name.substr(static_cast<std::size_t>(end - name.data()));
  return error == std::errc() && rest.starts_with(".wal") ? number : 0;
}

}  // namespace

bool Recovery::is_ours(const SegmentHeader& header) const { return header.queue_id == queue_id_; }

bool Recovery::is_damaged(std::uint64_t index) const {
  return std::find(out_.damaged_files.begin(), out_.damaged_files.end(), segment_name(index)) !=
         out_.damaged_files.end();
}

void Recovery::damaged(std::uint64_t index) {
  if (segments_.contains(index) && !is_damaged(index)) out_.damaged_files.push_back(segment_name(index));
}

/// Says that the records from the one that is expected next up to `to_seq` cannot be read.
bool Recovery::lose(std::uint64_t index, std::uint64_t offset, std::uint64_t to_seq, std::string why) {
  if (!salvages()) return false;
  out_.lost.push_back({segment_name(index), offset, next_seq_, to_seq, std::move(why)});
  damaged(index);
  replay_.on_gap(next_seq_, to_seq);
  return true;
}

/// What cannot be read counts as zeros, which are no records.
Task<Result<void>> Recovery::read_by_block(std::uint64_t index, std::uint64_t bytes) {
  auto file = co_await io::open(storage_, segment_name(index), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
  std::uint64_t at = 0;
  while (at < bytes) {
    const auto block = buffer_.span().subspan(at, std::min<std::uint64_t>(kBlockBytes, bytes - at));
    const auto got = co_await io::read(storage_, *file, at, block, Storage::ReadPath::kDevice);
    const std::size_t have = got ? *got : 0;
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(have), block.end(), std::byte{0});
    at += block.size();
  }
  storage_.close(*file);
  view_ = buffer_.view().first(bytes);
  out_.report.bytes += bytes;
  co_return Result<void>();
}

/// Whether a segment's records can be read. One whose header is lost is read by the life number that its
/// batches carry, when that is surely the life that the log means.
Task<Result<bool>> Recovery::usable(std::uint64_t index) {
  const auto it = segments_.find(index);
  if (it == segments_.end()) co_return false;
  auto& segment = it->second;
  const bool named = seal_ && seal_->next_segment == index;
  if (segment.in_log(index)) co_return is_ours(*segment.header) && (!named || seal_->next_life == segment.header->life);
  if (segment.header) co_return false;
  auto loaded = co_await load(index, Storage::ReadPath::kDevice);
  if (!loaded) co_return fail(std::move(loaded.error()));
  const auto follower = segments_.find(index + 1);
  const bool bounded = follower != segments_.end() && follower->second.in_log(index + 1);
  for (std::uint64_t at = kBlockBytes; at + kBlockBytes <= view_.size(); at += kBlockBytes) {
    const auto batch = read_batch_record(view_.subspan(at));
    if (!batch) continue;
    const auto seq = batch->first.seq;
    if (named ? batch->second.life != seal_->next_life : seq < next_seq_) continue;
    if (bounded && seq > follower->second.header->first_seq) continue;
    SegmentHeader header;
    header.index = index;
    header.bytes = segment.bytes;
    header.life = batch->second.life;
    header.first_seq = header.durable_seq = named ? next_seq_ : seq;
    header.queue_id = queue_id_;
    segment.header = header;
    segment.adopted = true;
    co_return true;
  }
  co_return false;
}

Task<Result<void>> Recovery::salvage_log() {
  std::uint64_t head = 0, newest = 0;
  for (const auto& [index, segment] : segments_) {
    if (!segment.in_log(index) || (identity_ && segment.header->queue_id != identity_->queue_id)) continue;
    newest = index;
    queue_id_ = segment.header->queue_id;
    head = std::max(head, segment.header->state.head_segment);
  }
  if (identity_) queue_id_ = identity_->queue_id;
  if (newest != 0) {
    auto moved = co_await newest_head(head);
    if (!moved) co_return fail(std::move(moved.error()));
    head = *moved;
  } else if (!segments_.empty()) {
    head = segments_.begin()->first;
  }
  bool any = false;
  std::uint64_t culprit = 0;  // the first that could not be read since the last that could
  std::uint64_t index = head;
  while (index != 0) {
    auto good = co_await usable(index);
    if (!good) co_return fail(std::move(good.error()));
    if (*good) {
      const auto& segment = segments_.at(index);
      const auto first = segment.header->first_seq;
      if (!any && culprit != 0) next_seq_ = 0;  // nobody knows which record was the first
      const bool open_end = any && !end_.seal;
      if ((any || culprit != 0) && first > next_seq_) {
        if (culprit != 0)
          lose(culprit, 0, first - 1,
               segments_.contains(culprit) ? segments_.at(culprit).damage : "the file is missing");
        else
          lose(last_index_, end_.offset, first - 1, end_.fault.empty() ? "the log ends too early" : end_.fault);
      } else if (open_end && last_index_ != 0) {
        lose(last_index_, end_.offset, next_seq_ - 1, "the seal that names the next segment does not check");
      }
      culprit = 0;
      if (segment.adopted)
        lose(index, 0, first - 1,
             "the header is lost (" + (segment.damage.empty() ? "zeros" : segment.damage) +
                 "); its records were read without it");
      auto read = co_await read_segment(index);
      if (!read) co_return fail(std::move(read.error()));
      if (segments_.at(index).bytes < segments_.at(index).header->bytes) damaged(index);
      any = true;
    } else if (index <= newest || (seal_ && seal_->next_segment == index) || newest == 0) {
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
  Result<void> done;
  if (has_mark_) done = co_await read_mark();  // never in a conditional expression: segment_pool.cpp says why
  if (!done) co_return done;
  const bool cut = any && segments_.at(last_index_).bytes < segments_.at(last_index_).header->bytes;
  const auto last_durable = durable_seq_ > next_seq_ ? durable_seq_ - 1 : 0;
  if (culprit != 0 && (end_.seal || !any)) {
    if (any || last_durable != 0)
      lose(culprit, 0, last_durable,
           segments_.contains(culprit) ? segments_.at(culprit).damage : "the file is missing");
    else
      lose(culprit, 0, 0, "nothing of it can be read");
  } else if (!any) {
    lose(1, 0, last_durable, "no segment is left");
  } else if (last_durable != 0 || cut) {
    lose(last_index_, end_.offset, last_durable,
         end_.fault.empty() ? "the log ends here, though more was known to be durable" : end_.fault);
  }
  out_.report.segments = out_.segments.size();
  co_return Result<void>();
}

Task<Result<void>> Recovery::make_ready_salvaged() {
  auto& start = out_.start;
  std::uint64_t newest = std::max(marked_segment_, seal_ ? seal_->next_segment : 0);
  for (const auto& name : all_names_) newest = std::max(newest, number_of(name));
  for (const auto& [index, segment] : segments_) newest = std::max(newest, segment.header ? segment.header->index : 0);
  start.queue_name = identity_ ? identity_->queue_name : options_.name;
  for (const auto& [index, segment] : segments_) {
    if (!identity_ && segment.header && !segment.header->queue_name.empty())
      start.queue_name = segment.header->queue_name;
  }
  if (queue_id_ == QueueId{}) {
    store_le(queue_id_.data(), rng_.next());
    store_le(queue_id_.data() + 8, rng_.next());
  }
  start.queue_id = queue_id_;
  start.segment = {newest, options_.segment_bytes_min, FileId{}};
  start.next_seq = std::max(next_seq_, durable_seq_);
  start.next_ordinal = out_.segments.size() + 1;
  start.nothing_open = true;
  Result<void> done;
  if (last_index_ != 0 && !is_damaged(last_index_)) done = co_await set_torn_aside();
  start.roll_first = true;
  if (done) done = co_await sort_salvaged_files();
  if (done && has_identity_ && !identity_) done = co_await put_aside(std::string(kIdentityName), ".damaged");
  if (done && mark_unreadable_) done = co_await put_aside(std::string(kMarkName), ".damaged");
  if (done) done = co_await make_identity_and_mark();
  // What is kept is as durable as after any start; a damaged one that cannot be opened says so.
  for (std::size_t i = out_.segments.size() - std::min<std::size_t>(2, out_.segments.size());
       done && i < out_.segments.size(); ++i) {
    done = co_await sync_segment(out_.segments[i].index);
  }
  if (done) done = co_await io::sync_directory(storage_);
  co_return done;
}

Task<Result<void>> Recovery::put_aside(std::string name, std::string_view suffix) {
  auto to = name + std::string(suffix);
  for (int i = 2; std::find(all_names_.begin(), all_names_.end(), to) != all_names_.end(); ++i) {
    to = fmt::format("{}{}.{}", name, suffix, i);
  }
  auto aside = co_await io::rename(storage_, name, to);
  if (!aside) co_return aside;
  all_names_.push_back(to);
  note(fmt::format("{}: kept as {}", name, to));
  co_return Result<void>();
}

Task<Result<void>> Recovery::sort_salvaged_files() {
  for (const auto& name : leftovers_) static_cast<void>(co_await io::remove(storage_, name));
  for (const auto& [index, segment] : segments_) {
    if (std::any_of(out_.segments.begin(), out_.segments.end(), [&, i = index](const auto& s) { return s.index == i; }))
      continue;
    const auto name = segment_name(index);
    const bool ours = segment.damage.empty() && (!segment.header || is_ours(*segment.header));
    bool empty = false;
    if (ours && !segment.header && !is_damaged(index)) {
      auto loaded = co_await load(index, Storage::ReadPath::kDevice);
      if (!loaded) co_return loaded;
      empty = is_zero(view_);
    }
    Result<void> done;
    if (is_damaged(index) || !ours || (!segment.header && !empty)) {
      done = co_await put_aside(name, segment.header && !ours ? ".unknown" : ".damaged");
    } else if (segment.in_log(index) && index < last_index_) {
      out_.retired.push_back({index, segment.bytes});
    } else {
      done = co_await io::remove(storage_, name);  // prepared, never used in this life
    }
    if (!done) co_return done;
  }
  co_return Result<void>();
}

}  // namespace qh::queue::wal
