#include "queue/log_recovery.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"

namespace qh::queue::wal {
namespace {

/// What this program has begun to make or to remove and never finished: nobody else's `*.new`.
bool is_half_done(std::string_view name) {
  constexpr std::string_view kMaking = ".new";
  if (name.ends_with(kRemovingSuffix))
    return segment_index(name.substr(0, name.size() - kRemovingSuffix.size())).has_value();
  if (!name.ends_with(kMaking)) return false;
  name.remove_suffix(kMaking.size());
  return name == kIdentityName || segment_index(name);
}

}  // namespace

Recovery::Recovery(Storage& storage, Clock& clock, Rng& rng, const Options& options, Replay& replay, RecoveryMode mode)
    : storage_(storage), clock_(clock), rng_(rng), options_(options), replay_(replay), mode_(mode), ahead_(storage) {}

Task<Result<Recovered>> Recovery::run() {
  const auto started = clock_.mono();
  auto done = co_await look();
  if (!done) co_return fail(std::move(done.error()));
  Result<bool> fresh = false;
  if (!salvages()) fresh = co_await nothing_was_stored();
  if (!fresh) co_return fail(fresh.error());
  if (*fresh && writes()) {
    done = co_await create();
  } else if (*fresh || (!has_identity_ && segments_.empty() && !any_whole_one_to_remove())) {
    done = no_queue();
  } else if (salvages()) {
    done = co_await salvage_log();
    if (done && writes()) done = co_await make_ready_salvaged();
  } else {
    done = co_await read_log();
    if (done && writes()) done = co_await make_ready();
    if (done && !writes() && !end_.fault.empty()) {
      out_.report.torn_bytes = end_.fault_end - end_.offset;
      note(fmt::format(
          "{}: a torn tail at offset {} ({}): {} bytes that were never acknowledged; the next start sets them aside",
          segment_name(last_index_), end_.offset, end_.fault, out_.report.torn_bytes));
    }
  }
  co_await ahead_.finish();
  if (!done) co_return fail(std::move(done.error()));
  out_.report.queue_id = queue_id_.value_or(out_.start.queue_id);  // of one that was made now, the latter
  out_.report.took = clock_.mono() - started;
  co_return std::move(out_);
}

tl::unexpected<Error> Recovery::damage(std::string file, std::string what) const {
  Error error(Errc::kCorrupt, file + ": " + std::move(what));
  error.subject = std::move(file);
  return tl::unexpected<Error>(std::move(error));
}

// -- What is there -------------------------------------------------------------------------------------

Task<Result<void>> Recovery::look() {
  auto entries = co_await io::list(storage_);
  if (!entries) co_return fail(std::move(entries.error()));
  std::optional<std::uint64_t> identity_bytes;
  for (const auto& entry : *entries) {
    all_names_.push_back(entry.name);
    if (const auto index = segment_index(entry.name)) {
      segments_[*index].name = entry.name;
      segments_[*index].bytes = entry.bytes;
    } else if (entry.name == kIdentityName) {
      identity_bytes = entry.bytes;
    } else if (entry.name == kMarkName) {
      has_mark_ = true;
    } else if (is_half_done(entry.name)) {
      leftovers_.emplace_back().name = entry.name;
      leftovers_.back().bytes = entry.bytes;
    }
  }
  auto done = co_await read_headers();
  if (done && identity_bytes) done = co_await read_identity(*identity_bytes);
  if (identity_) queue_id_ = identity_->queue_id;
  co_return done;
}

Task<Result<void>> Recovery::read_identity(std::uint64_t bytes) {
  has_identity_ = true;
  AlignedBuffer block(kBlockBytes);
  auto file = co_await io::open(storage_, std::string(kIdentityName), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  auto got = co_await io::read(storage_, *file, 0, block.span(), Storage::ReadPath::kCached);
  storage_.close(*file);
  if (!got && !salvages()) co_return fail(got.error());
  if (!got) got = 0;
  auto identity = decode_identity(block.view().first(std::min<std::uint64_t>(bytes, *got)));
  if (identity) {
    identity_ = *identity;
    co_return Result<void>();
  }
  if (salvages() && identity.error().code != Errc::kNewerVersion) {
    note("identity: " + identity.error().context + "; made anew from the segments");
    co_return Result<void>();
  }
  co_return fail(std::move(identity.error()).in(std::string(kIdentityName)).about(kIdentityName));
}

Task<Result<void>> Recovery::read_headers() {
  for (auto& [index, segment] : segments_) {
    auto done = co_await read_header(segment);
    if (!done) co_return done;
  }
  if (!salvages()) co_return Result<void>();
  for (auto& file : leftovers_) {
    auto done = co_await read_header(file);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::read_header(SegmentFile& segment) {
  AlignedBuffer block(kBlockBytes);
  auto file = co_await io::open(storage_, segment.name, Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  const auto got = co_await io::read(storage_, *file, 0, block.span(), Storage::ReadPath::kDevice);
  storage_.close(*file);
  if (!got) {
    segment.damage = "its header cannot be read: " + got.error().to_string();
    segment.unreadable = Error(got.error()).about(segment.name);
    co_return Result<void>();
  }
  auto header = decode_header(block.view().first(*got));
  if (header) {
    segment.header = std::move(*header);
  } else if (header.error().code == Errc::kNewerVersion) {
    co_return fail(std::move(header.error()).in(segment.name).about(segment.name));
  } else {
    segment.damage = header.error().context;
    segment.torn_header = may_be_torn_header(block.view().first(*got));
  }
  co_return Result<void>();
}

// -- Reading -----------------------------------------------------------------------------------------------

// Every header says which segment was the oldest needed when it was written, so a missing one is seen.
Task<Result<std::uint64_t>> Recovery::first_segment() {
  std::uint64_t head = 0;
  std::uint64_t newest = 0;
  for (const auto& [index, segment] : segments_) {
    if (!in_log(index)) continue;
    newest = index;
    head = std::max(head, segment.header->state.head_segment);
  }
  if (auto readable = check_readable_behind(newest); !readable) co_return fail(std::move(readable.error()));
  if (newest == 0) {
    // No header holds. One damaged file names itself; otherwise the log is gone.
    for (const auto& [index, segment] : segments_) {
      if (!segment.damage.empty())
        co_return damage(segment_name(index), segment.damage + "; all its messages are lost");
      if (segment.header && !is_ours(*segment.header)) {
        co_return damage(segment_name(index), "belongs to another queue (" + segment.header->queue_name +
                                                  "), as the identity says, and no other segment is left");
      }
    }
    if (auto read = co_await read_mark(); !read) co_return fail(std::move(read.error()));
    co_return damage(segment_name(std::max<std::uint64_t>(marked_segment_, 1)),
                     "missing, or its header is zeros, and no other segment is left: all its messages are lost");
  }
  if (!identity_) {
    co_return damage(std::string(kIdentityName), "missing, though there are segments; a repair makes it anew");
  }
  co_return co_await newest_head(head);
}

/// A read error is never the end of a log; below its head it does not matter.
Result<void> Recovery::check_readable_behind(std::uint64_t index) const {
  for (auto it = segments_.upper_bound(index); it != segments_.end(); ++it) {
    if (it->second.unreadable) return tl::unexpected(*it->second.unreadable);
  }
  return {};
}

// The log may have let go of segments since the newest header was written: that stands in a state record behind it.
// They may be missing, or be there as spares, in which nothing is relied on any more.
Task<Result<std::uint64_t>> Recovery::newest_head(std::uint64_t head) {
  RecordVisitor visit = [&](const RecordView& record, std::uint64_t) {
    if (record.type != RecordType::kState) return;
    if (const auto state = decode_state(record.payload)) head = std::max(head, state->head_segment);
  };
  int looked_at = 0;
  std::optional<std::pair<std::uint64_t, std::string>> broken;  // where the log ends
  bool ends_early = false;
  std::uint64_t ends_with = 0;
  for (auto it = segments_.rbegin(); it != segments_.rend() && looked_at < 2; ++it) {
    const auto& [index, segment] = *it;
    if (!in_log(index)) continue;
    if (looked_at > 0 && index < head) break;  // let go of: a spare
    ++looked_at;
    auto loaded = co_await load(index, Storage::ReadPath::kDevice);
    if (!loaded) co_return fail(std::move(loaded.error()));
    const auto end = scan_segment(view_, segment.header->life, kBlockBytes, segment.header->first_seq, visit);
    if (looked_at > 1) continue;
    if (end.seal)
      broken = {end.seal->next_segment, "missing or without a header, though the log names it"};
    else
      broken = {index, fmt::format("offset {}: {}", end.offset, end.fault.empty() ? "the log ends here" : end.fault)};
    ends_early = end.seal || !end.fault.empty();
    ends_with = end.next_seq;
  }
  if (segments_.contains(head)) co_return head;
  if (!ends_early) {
    if (auto read = co_await read_mark(); !read) co_return fail(std::move(read.error()));
  }
  if (broken && (ends_early || durable_seq_ > ends_with)) {
    co_return damage(segment_name(broken->first),
                     fmt::format("{}; what stood there may have said that {}, which is missing, is not needed any more",
                                 broken->second, segment_name(head)));
  }
  co_return head;
}

Task<Result<void>> Recovery::load(const SegmentFile& segment, Storage::ReadPath path) {
  unreadable_ = false;
  co_await ahead_.finish();
  if (!ahead_.has(segment.name, path)) co_await ahead_.start(segment.name, segment.bytes, path);
  co_await ahead_.finish();
  auto got = ahead_.fetch(buffer_);
  if (!got && salvages()) co_return co_await read_by_block(segment);
  // A read error is never the end of a log.
  if (!got) co_return fail(std::move(got.error()).in("recover").about(segment.name));
  view_ = buffer_.view().first(*got);
  out_.report.bytes += *got;
  co_return Result<void>();
}

Result<void> Recovery::check_place(std::uint64_t index) const {
  const auto name = segment_name(index);
  const auto it = segments_.find(index);
  const auto lost_from = fmt::format("record {} and all behind it are lost", next_seq_);
  if (it == segments_.end()) return damage(name, "missing, though the log names it; " + lost_from);
  const auto& segment = it->second;
  if (segment.unreadable) return tl::unexpected(*segment.unreadable);
  if (!segment.damage.empty()) return damage(name, segment.damage + "; " + lost_from);
  if (!segment.header) return damage(name, "its header is zeros, though the log names it; " + lost_from);
  const auto& header = *segment.header;
  if (!is_ours(header)) return damage(name, "belongs to another queue (" + header.queue_name + ")");
  if (header.index != index) {
    return damage(name,
                  fmt::format("its header says segment {}, though the log names it; {}", header.index, lost_from));
  }
  if (segment.bytes < header.bytes) {
    return damage(name,
                  fmt::format("is {} bytes long, its header says {}; {}", segment.bytes, header.bytes, lost_from));
  }
  if (seal_ && seal_->next_life != header.life)
    return damage(name, "is of another life than the one the log names; " + lost_from);
  if (!out_.segments.empty() && header.first_seq != next_seq_) {
    return damage(name,
                  fmt::format("starts with record {}, though record {} should follow", header.first_seq, next_seq_));
  }
  return {};
}

bool Recovery::in_log(std::uint64_t index) const {
  const auto it = segments_.find(index);
  if (it == segments_.end() || !it->second.header) return false;
  return it->second.header->index == index && is_ours(*it->second.header);
}

bool Recovery::was_read(std::uint64_t index) const {
  return std::any_of(out_.segments.begin(), out_.segments.end(), [&](const auto& s) { return s.index == index; });
}

// The newest one or two may hold what the page cache has and the disk has not.
Storage::ReadPath Recovery::path_of(std::uint64_t index) const {
  return in_log(index + 1) && in_log(index + 2) ? Storage::ReadPath::kCached : Storage::ReadPath::kDevice;
}

/// True: the log goes on in the next segment.
Task<Result<bool>> Recovery::read_segment(std::uint64_t index) {
  const auto& segment = segments_.at(index);
  auto loaded = co_await load(index, path_of(index));
  if (!loaded) co_return fail(std::move(loaded.error()));
  // A salvage reads some segments twice and others never: only the plain case reads ahead.
  if (const auto next = index + 1; !salvages() && in_log(next))
    co_await ahead_.start(segment_name(next), segments_.at(next).bytes, path_of(next));
  if (std::exchange(unreadable_, false)) damaged(index);  // nothing is to be written there again
  const auto& header = *segment.header;
  if (out_.segments.empty() || salvages()) next_seq_ = header.first_seq;
  durable_seq_ = std::max(durable_seq_, header.durable_seq);
  const Ordinal ordinal = out_.segments.size() + 1;
  out_.segments.push_back({index, segment.bytes, ordinal});
  replay_.on_segment(out_.segments.back());
  last_index_ = index;
  last_life_ = header.life;
  if (!segment.adopted) replay_.on_state(header.state);
  const auto given_again = salvages() ? first_seq_behind(index) : UINT64_MAX;
  RecordVisitor visit = [&](const RecordView& record, std::uint64_t offset) {
    if (!is_logical(record.type) || !replayed_ || record.seq >= given_again) return;
    replayed_ = replay_.on_record(record, ordinal);
    if (replayed_) return;
    if (salvages()) {
      out_.lost.push_back(
          {segment_name(index), offset, record.seq, record.seq, std::exchange(replayed_, {}).error().context});
      damaged(index);
      return;
    }
    replayed_ = damage(segment_name(index), fmt::format("offset {}: {}", offset, replayed_.error().context));
  };
  const auto file = view_.first(std::min<std::uint64_t>(view_.size(), header.bytes));
  end_ = scan_segment(file, header.life, kBlockBytes, next_seq_, visit);
  while (true) {
    out_.report.records += end_.records;
    next_seq_ = end_.next_seq;
    durable_seq_ = std::max(durable_seq_, end_.durable_seq);
    if (!replayed_) co_return fail(replayed_.error());
    if (!salvages() || !read_behind_fault(index, file, visit)) break;
  }
  seal_ = end_.seal;
  co_return end_.seal.has_value();
}

Task<Result<void>> Recovery::read_log() {
  auto first = co_await first_segment();
  if (!first) co_return fail(std::move(first.error()));
  for (auto index = *first;; ++index) {
    if (auto placed = check_place(index); !placed) co_return placed;
    auto goes_on = co_await read_segment(index);
    if (!goes_on) co_return fail(std::move(goes_on.error()));
    if (!*goes_on) break;
  }
  auto done = co_await look_at_followers(last_index_);
  if (done) done = co_await read_mark();
  if (done) done = check_durable();
  out_.report.segments = out_.segments.size();
  co_return done;
}

// Segments that no seal names: if one holds batches, a seal was there once, or a repair was cut off.
Task<Result<void>> Recovery::look_at_followers(std::uint64_t last) {
  if (auto readable = check_readable_behind(last); !readable) co_return readable;
  for (auto it = segments_.upper_bound(last); it != segments_.end(); ++it) {
    const auto& [index, segment] = *it;
    if (!in_log(index)) continue;
    durable_seq_ = std::max(durable_seq_, segment.header->durable_seq);
    auto loaded = co_await load(index, Storage::ReadPath::kDevice);
    if (!loaded) co_return loaded;
    RecordVisitor nothing = [](const RecordView&, std::uint64_t) {};
    const auto end = scan_segment(view_, segment.header->life, kBlockBytes, segment.header->first_seq, nothing);
    durable_seq_ = std::max(durable_seq_, end.durable_seq);
    if (end.batches > 0 || end.resume_offset) {
      co_return damage(segment_name(last),
                       fmt::format("offset {}: the seal that names the next segment does not check, though {} has "
                                   "records; they and what stood here are lost",
                                   end_.offset, segment_name(index)));
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Recovery::load_mark() {
  if (!has_mark_ || mark_.size() != 0) co_return Result<void>();
  mark_ = AlignedBuffer(2 * kBlockBytes);
  auto file = co_await io::open(storage_, std::string(kMarkName), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  const auto got = co_await io::read(storage_, *file, 0, mark_.span(), Storage::ReadPath::kDevice);
  storage_.close(*file);
  if (!got && !salvages()) co_return fail(got.error());
  mark_unreadable_ = !got;
  mark_bytes_ = got ? *got : 0;
  co_return Result<void>();
}

Task<Result<void>> Recovery::read_mark() {
  if (std::exchange(mark_read_, true)) co_return Result<void>();
  if (!has_mark_) {
    note("mark: missing; made anew (no message is lost by that)");
    co_return Result<void>();
  }
  auto loaded = co_await load_mark();
  if (!loaded) co_return loaded;
  if (mark_bytes_ < 2 * kBlockBytes) note("mark: cut short; made anew (no message is lost by that)");
  for (std::size_t i = 0; i < 2; ++i) {
    const auto block = mark_.view().subspan(i * kBlockBytes, kBlockBytes);
    const auto mark = decode_mark(block);
    if (!mark && is_zero(block)) continue;
    if (!mark || mark->turn % 2 != i || (queue_id_ && mark->queue_id != *queue_id_)) {
      note(fmt::format("mark: block {} does not check; it will be written again (no message is lost by that)", i));
      continue;
    }
    out_.start.mark_turn = std::max(out_.start.mark_turn, mark->turn);
    durable_seq_ = std::max(durable_seq_, mark->durable_seq);
    marked_segment_ = std::max(marked_segment_, mark->segment);
  }
  co_return Result<void>();
}

Result<void> Recovery::check_durable() const {
  if (durable_seq_ <= next_seq_) return {};
  const auto why = end_.fault.empty() ? std::string("the log ends here") : end_.fault;
  return damage(
      segment_name(last_index_),
      fmt::format("offset {}: {}, though records up to {} were known to be durable: records {} to {} are missing",
                  end_.offset, why, durable_seq_ - 1, next_seq_, durable_seq_ - 1));
}

}  // namespace qh::queue::wal
