// The files of a salvage: whose they are, which segment each is, and what becomes of those that are not read.
//
// Nothing is written into a segment that is there, and no number that was ever used is given again. Until the
// new segments hold all that is alive and a durable record says that the log starts there, the old ones stay
// as they are, and a start refuses them as before: a repair that is cut off is begun anew and finds the same.
// Removed is only what is all zeros, or a segment that the log has let go of for sure.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/storage_await.h"
#include "queue/log_recovery.h"
#include "queue/put_aside.h"

namespace qh::queue::wal {
namespace {

/// Above it no number is one that a queue has come to: a name with such a one is somebody else's.
constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 60;

/// The number that a name starts with, also in "00000007.wal.damaged".
std::uint64_t number_of(std::string_view name) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const auto rest = name.substr(static_cast<std::size_t>(end - name.data()));
  return error == std::errc() && rest.starts_with(".wal") && number < kNumberMax ? number : 0;
}

}  // namespace

// -- Whose they are ----------------------------------------------------------------------------------------

// The identity says it. Where that is lost, or names a queue of which nothing is here, the mark does, and then the
// number of segments; what speaks against that is a doubt, which is said, and then every file is kept.
Task<Result<void>> Recovery::whose_log() {
  auto loaded = co_await load_mark();
  if (!loaded) co_return loaded;
  struct Claim {
    std::string name;
    std::uint64_t segments = 0;
  };
  std::map<QueueId, Claim> claims;
  const auto count = [&](const SegmentFile& segment) {
    if (!segment.header) return;
    auto& of = claims[segment.header->queue_id];
    of.name = segment.header->queue_name;
    ++of.segments;
  };
  for (const auto& [index, segment] : segments_) count(segment);
  for (const auto& file : leftovers_) count(file);
  if (identity_ && (claims.empty() || claims.contains(identity_->queue_id))) co_return Result<void>();
  std::optional<QueueId> marked;
  for (std::size_t i = 0; has_mark_ && i < 2; ++i) {
    const auto mark = decode_mark(mark_.view().subspan(i * kBlockBytes, kBlockBytes));
    if (mark && (!marked || claims.contains(mark->queue_id))) marked = mark->queue_id;
  }
  queue_id_ = marked;
  if (!marked || !claims.contains(*marked)) {
    for (const auto& [id, claim] : claims) {
      if (!queue_id_ || !claims.contains(*queue_id_) || claim.segments > claims[*queue_id_].segments) queue_id_ = id;
    }
  }
  if (!queue_id_) {
    queue_id_.emplace();
    store_le(queue_id_->data(), rng_.next());
    store_le(queue_id_->data() + 8, rng_.next());
  }
  identity_is_foreign_ = identity_.has_value();
  keep_all_ = identity_is_foreign_ || claims.size() > 1 || (marked && *marked != *queue_id_);
  if (identity_) note("identity: of another queue, " + identity_->queue_name + ", of which no segment is here");
  identity_.reset();
  const auto chosen = claims.find(*queue_id_);
  if (chosen != claims.end()) {
    note(fmt::format("identity: {}; made anew as the segments say: queue '{}', id {}",
                     has_identity_ ? "of no use" : "missing", chosen->second.name, to_hex(*queue_id_)));
  }
  if (keep_all_) {
    std::string all;
    for (const auto& [id, claim] : claims)
      all += fmt::format(", {} of '{}' with id {}", claim.segments, claim.name, to_hex(id));
    note(fmt::format(
        "whose log this is is in doubt: the mark says {}, and there are these segments: {}; every file is kept",
        marked ? to_hex(*marked) : "nothing", all.substr(2)));
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::find_begun() {
  for (auto& [at, segment] : segments_) {
    auto done = co_await find_begun(segment);
    if (!done) co_return done;
  }
  for (auto& file : leftovers_) {
    auto done = co_await find_begun(file);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::find_begun(SegmentFile& segment) {
  if (!segment.header) co_return Result<void>();
  auto loaded = co_await load(segment, Storage::ReadPath::kDevice);
  if (!loaded) co_return loaded;
  const auto& header = *segment.header;
  segment.unused = !std::exchange(unreadable_, false);
  for (std::uint64_t at = kBlockBytes; at + kBlockBytes <= view_.size(); at += kBlockBytes) {
    const auto block = view_.subspan(at, kBlockBytes);
    const auto batch = read_batch_record(block);
    const bool whole = batch && batch->second.life == header.life;
    if (whole || looks_like_batch_of(block, header.life)) segment.unused = false;
    if (!whole) continue;
    segment.begun = at == kBlockBytes && batch->first.seq == header.first_seq;
    break;
  }
  co_return Result<void>();
}

// -- Which segment each is ---------------------------------------------------------------------------------

/// A state record says which segment is the oldest that is needed; behind a fault only one that was durable, since what
/// stands before that one was durable then as well.
Task<Result<void>> Recovery::raise_head(std::uint64_t index, std::uint64_t life, std::uint64_t first_seq,
                                        ScanEnd& end) {
  auto loaded = co_await load(index, Storage::ReadPath::kDevice);
  if (!loaded) co_return loaded;
  RecordVisitor visit = [&](const RecordView& record, std::uint64_t) {
    if (record.type != RecordType::kState) return;
    if (const auto state = decode_state(record.payload)) head_ = std::max(head_, state->head_segment);
  };
  end = scan_segment(view_, life, kBlockBytes, first_seq, visit);
  durable_seq_ = std::max(durable_seq_, end.durable_seq);
  const auto durable = durable_in(index);
  if (!end.fault.empty() && durable > end.next_seq)
    scan_records(view_, life, {end.offset, view_.size(), end.next_seq, durable}, visit);
  co_return Result<void>();
}

/// The oldest segment that is needed, as far as any header or state record tells. What cannot be read may have said
/// that the log has let go of more: that is a doubt, no reason to stop.
Task<Result<void>> Recovery::find_head() {
  for (const auto& [index, segment] : segments_) {
    if (segment.header && is_ours(*segment.header)) head_ = std::max(head_, segment.header->state.head_segment);
  }
  std::vector<std::uint64_t> newest;
  for (const auto& [index, segment] : segments_) {
    if (in_log(index) && !segment.unused) newest.insert(newest.begin(), index);
  }
  newest.resize(std::min<std::size_t>(newest.size(), 2));
  for (const auto index : newest) {
    ScanEnd end;
    const auto header = *segments_.at(index).header;
    auto done = co_await raise_head(index, header.life, header.first_seq, end);
    if (!done) co_return done;
    if (index != newest.front()) continue;
    head_in_doubt_ = end.seal || !end.fault.empty() || durable_seq_ > end.next_seq;
    // The newest one of all may have lost its header, and still say it.
    const auto last = end.seal ? segments_.find(end.seal->next_segment) : segments_.end();
    if (last == segments_.end() || last->second.header) continue;
    done = co_await raise_head(last->first, end.seal->next_life, end.next_seq, end);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

bool Recovery::any_whole_one_to_remove() const {
  return std::any_of(leftovers_.begin(), leftovers_.end(),
                     [this](const auto& file) { return is_whole_one_to_remove(file); });
}

/// One that was given up gets such a name when all that was alive in it is durable elsewhere, and is then cut off from
/// its end, with the takes and acks that stood there. So one that is shorter than its header says is never read again;
/// a whole one holds all that `N.wal` held, and is as good as that one would be.
bool Recovery::is_whole_one_to_remove(const SegmentFile& file) const {
  return file.header && file.name == segment_name(file.header->index) + std::string(kRemovingSuffix) &&
         file.bytes >= file.header->bytes;
}

// A segment under another's name is read by the number in its header, where no whole one has that place. One that was
// let go of and renamed, to be used again or to be removed, is none: it is below the head, or the segments behind it
// are gone too. Its takes and acks stand in it, or in those: with them none of its messages comes back twice.
void Recovery::find_misplaced() {
  std::map<std::uint64_t, SegmentFile*, std::greater<>> found;  // by where it belongs
  const auto look_at = [&](std::uint64_t at, SegmentFile& segment) {
    if (!segment.header || !is_ours(*segment.header)) return;
    const auto index = segment.header->index;
    if (index != at && index != 0 && index < kNumberMax && index >= head_ && !in_log(index))
      found.emplace(index, &segment);
  };
  for (auto& [at, segment] : segments_) look_at(at, segment);
  for (auto& file : leftovers_) {
    if (is_whole_one_to_remove(file)) look_at(0, file);
  }
  auto newest = std::max(newest_in_log(), marked_segment_);
  const auto holds_a_place = [&](std::uint64_t index) {
    const auto it = segments_.find(index);
    return found.contains(index) || in_log(index) || (it != segments_.end() && !it->second.header && index <= newest);
  };
  for (auto it = found.begin(); it != found.end();) {  // from the newest down
    const bool goes_on = it->first >= newest || holds_a_place(it->first + 1);
    newest = std::max(newest, goes_on ? it->first : 0);
    it = goes_on ? std::next(it) : found.erase(it);
  }
  std::map<std::uint64_t, SegmentFile> moved;
  for (const auto& [index, segment] : found) moved.emplace(index, std::exchange(*segment, SegmentFile()));
  std::erase_if(segments_, [](const auto& one) { return one.second.name.empty(); });
  std::erase_if(leftovers_, [](const auto& file) { return file.name.empty(); });
  for (auto& [index, segment] : moved) {
    if (auto other = segments_.extract(index)) strays_.push_back(std::move(other.mapped()));
    note(fmt::format("{}: its header says segment {}; taken as {}", segment.name, index, segment_name(index)));
    segments_.emplace(index, std::move(segment));
  }
}

// -- What becomes of them ----------------------------------------------------------------------------------

std::uint64_t Recovery::highest_number() const {
  std::uint64_t newest = std::max(marked_segment_, seal_ ? seal_->next_segment : 0);
  for (const auto& name : all_names_) newest = std::max(newest, number_of(name));
  for (const auto& [index, segment] : segments_) {
    if (segment.header && is_ours(*segment.header) && segment.header->index < kNumberMax)
      newest = std::max(newest, segment.header->index);
  }
  return newest;
}

Task<Result<void>> Recovery::make_ready_salvaged() {
  auto& start = out_.start;
  start.queue_name = identity_ ? identity_->queue_name : options_.name;
  for (const auto& [index, segment] : segments_) {
    if (!identity_ && segment.header && is_ours(*segment.header) && !segment.header->queue_name.empty())
      start.queue_name = segment.header->queue_name;
  }
  start.queue_id = *queue_id_;
  // A number is left out, so that nobody takes the new segments for the continuation of what was read.
  start.segment = {highest_number() + 1, options_.segment_bytes_min, FileId{}};
  start.next_seq = std::max(next_seq_, durable_seq_);
  start.next_ordinal = out_.segments.size() + 1;
  start.nothing_open = true;
  Result<void> done;
  if (last_index_ != 0 && !is_damaged(last_index_)) done = co_await set_torn_aside();
  if (done) done = co_await sync_what_was_read();
  if (done) done = co_await sort_salvaged_files();
  if (done) done = co_await put_in_place();
  if (done && has_identity_ && !identity_) {
    std::string_view suffix = ".damaged";
    std::string why = "it does not check";
    if (identity_is_foreign_) suffix = ".unknown", why = "of another queue";
    done = co_await aside(std::string(kIdentityName), suffix, std::move(why));
  }
  if (done && mark_unreadable_) done = co_await aside(std::string(kMarkName), ".damaged", "cannot be read");
  if (done) done = co_await make_identity_and_mark();
  if (done) done = co_await io::sync_directory(storage_);
  co_return done;
}

Task<Result<void>> Recovery::sort_salvaged_files() {
  // First: on a full disk they may be what fills it.
  for (const auto& file : leftovers_) {
    auto done = co_await sort_leftover(file);
    if (!done) co_return done;
  }
  for (const auto& stray : strays_) {
    auto done = co_await sort_salvaged(0, stray, true);
    if (!done) co_return done;
  }
  for (const auto& [index, segment] : segments_) {
    if (was_read(index)) continue;
    auto done = co_await sort_salvaged(index, segment, false);
    if (!done) co_return done;
  }
  co_return co_await io::sync_directory(storage_);
}

/// What a start removes unseen: it has found the log whole without it. Here something is missing.
Task<Result<void>> Recovery::sort_leftover(const SegmentFile& file) {
  bool is_free = file.bytes == 0 || file.name == std::string(kIdentityName) + ".new" || is_let_go(file);
  if (!is_free && !file.header) {
    auto loaded = co_await load(file, Storage::ReadPath::kDevice);
    if (!loaded) co_return loaded;
    is_free = is_zero(view_) && !unreadable_;
  }
  if (!is_free && file.header && is_ours(*file.header)) {
    co_return co_await aside(file.name, ".unknown",
                             fmt::format("was being removed, and what would say that it is not needed is lost; has {} "
                                         "of the {} bytes of segment {}",
                                         file.bytes, file.header->bytes, file.header->index));
  }
  if (!is_free) co_return co_await sort_salvaged(0, file, true);
  static_cast<void>(co_await io::remove(storage_, file.name));  // else the next start tries again
  co_return Result<void>();
}

bool Recovery::is_let_go(const SegmentFile& segment) const {
  return segment.header && is_ours(*segment.header) && segment.header->index < head_ && !keep_all_;
}

/// One that was not read. A stray's number is that of another file.
Task<Result<void>> Recovery::sort_salvaged(std::uint64_t index, const SegmentFile& segment, bool stray) {
  const bool has_lost = !stray && is_damaged(index);
  // No choice between two strings stands beside a co_await: segment_pool.cpp says what GCC 12 makes of that.
  if (has_lost || !segment.damage.empty()) {
    auto why = segment.damage;
    if (has_lost) why = why_lost(index);
    std::string_view suffix = ".damaged";
    if (segment.header && !is_ours(*segment.header)) suffix = ".unknown";
    co_return co_await aside(segment.name, suffix, std::move(why));
  }
  if (!segment.header) {
    auto loaded = co_await load(segment, Storage::ReadPath::kDevice);
    if (!loaded) co_return loaded;
    if (is_zero(view_) && !unreadable_) co_return co_await io::remove(storage_, segment.name);
    co_return co_await aside(segment.name, ".damaged", why_unknown(segment));
  }
  if (!is_let_go(segment))
    co_return co_await aside(segment.name, ".unknown", "not part of this log (" + why_unknown(segment) + ")");
  if (stray || segment.name != segment_name(segment.header->index))
    co_return co_await io::remove(storage_, segment.name);
  out_.retired.push_back({index, segment.bytes});
  co_return Result<void>();
}

/// Misplaced segments get the names that the log knows them by. Where they stand in each other's place, they go by way
/// of numbers that nobody has: a repair that is cut off there finds them misplaced again.
Task<Result<void>> Recovery::put_in_place() {
  std::vector<std::uint64_t> misplaced;
  for (const auto& segment : out_.segments) {
    if (segments_.at(segment.index).name != segment_name(segment.index)) misplaced.push_back(segment.index);
  }
  for (std::size_t i = 0; misplaced.size() > 1 && i < misplaced.size(); ++i) {
    auto& segment = segments_.at(misplaced[i]);
    const auto by_way_of = segment_name(++out_.start.segment.index);
    auto done = co_await io::rename(storage_, segment.name, by_way_of);
    if (done) done = co_await io::sync_directory(storage_);
    if (!done) co_return done;
    segment.name = by_way_of;
  }
  for (const auto index : misplaced) {
    auto& segment = segments_.at(index);
    auto done = co_await io::rename(storage_, segment.name, segment_name(index));
    if (!done) co_return done;
    segment.name = segment_name(index);
  }
  co_return co_await io::sync_directory(storage_);
}

}  // namespace qh::queue::wal
