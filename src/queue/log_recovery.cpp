#include "queue/log_recovery.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"

namespace qh::queue::wal {

Recovery::Recovery(Storage& storage, Clock& clock, Rng& rng, const Options& options, Replay& replay, RecoveryMode mode)
    : storage_(storage), clock_(clock), rng_(rng), options_(options), replay_(replay), mode_(mode), ahead_(storage) {}

Task<Result<Recovered>> Recovery::run() {
  const auto started = clock_.mono();
  auto done = co_await look();
  if (!done) co_return fail(std::move(done.error()));
  Result<bool> fresh = false;
  if (mode_ == RecoveryMode::kOpen) fresh = co_await nothing_was_stored();
  if (!fresh) co_return fail(fresh.error());
  if (*fresh) {
    done = co_await create();
  } else if (!has_identity_ && segments_.empty()) {
    done = fail(Errc::kNotFound, "there is no queue in this directory: neither an identity nor a segment");
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
      segments_[*index].bytes = entry.bytes;
    } else if (entry.name == kIdentityName) {
      identity_bytes = entry.bytes;
    } else if (entry.name == kMarkName) {
      has_mark_ = true;
    } else if (entry.name.ends_with(".new")) {
      leftovers_.push_back(entry.name);
    }
  }
  auto done = co_await read_headers();
  if (done && identity_bytes) done = co_await read_identity(*identity_bytes);
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
  AlignedBuffer block(kBlockBytes);
  for (auto& [index, segment] : segments_) {
    auto file = co_await io::open(storage_, segment_name(index), Storage::OpenMode::kRead);
    if (!file) co_return fail(std::move(file.error()));
    const auto got = co_await io::read(storage_, *file, 0, block.span(), Storage::ReadPath::kDevice);
    storage_.close(*file);
    if (!got && !salvages()) co_return fail(got.error());
    if (!got) {
      segment.damage = "its header cannot be read: " + got.error().to_string();
      continue;
    }
    auto header = decode_header(block.view().first(*got));
    if (header) {
      segment.header = std::move(*header);
    } else if (header.error().code == Errc::kNewerVersion) {
      co_return fail(std::move(header.error()).in(segment_name(index)).about(segment_name(index)));
    } else {
      segment.damage = header.error().context;
    }
  }
  co_return Result<void>();
}

// -- Reading -----------------------------------------------------------------------------------------------

// Every header says which segment was the oldest needed when it was written, so a missing one is seen.
Task<Result<std::uint64_t>> Recovery::first_segment() {
  std::uint64_t head = 0;
  std::uint64_t newest = 0;
  for (const auto& [index, segment] : segments_) {
    if (!segment.in_log(index)) continue;
    newest = index;
    head = std::max(head, segment.header->state.head_segment);
  }
  if (newest == 0) {
    // No header holds. One damaged file names itself; otherwise the log is gone.
    for (const auto& [index, segment] : segments_) {
      if (!segment.damage.empty())
        co_return damage(segment_name(index), segment.damage + "; all its messages are lost");
    }
    if (auto read = co_await read_mark(); !read) co_return fail(std::move(read.error()));
    co_return damage(segment_name(std::max<std::uint64_t>(marked_segment_, 1)),
                     "missing, or its header is zeros, and no other segment is left: all its messages are lost");
  }
  if (!identity_) {
    co_return damage(std::string(kIdentityName), "missing, though there are segments; a repair makes it anew");
  }
  const auto present =
      static_cast<std::uint64_t>(std::distance(segments_.lower_bound(head), segments_.upper_bound(newest)));
  if (present == newest - head + 1) co_return head;
  co_return co_await newest_head(head);
}

// A segment is missing that the headers still name. The log may have let go of it since: that stands in a
// state record behind the newest header.
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
    if (!segment.in_log(index)) continue;
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

Task<Result<void>> Recovery::load(std::uint64_t index, Storage::ReadPath path) {
  const auto bytes = segments_.at(index).bytes;
  co_await ahead_.finish();
  if (!ahead_.has(segment_name(index), path)) co_await ahead_.start(segment_name(index), bytes, path);
  co_await ahead_.finish();
  auto got = ahead_.fetch(buffer_);
  if (!got && salvages()) co_return co_await read_by_block(index, bytes);
  // A read error is never the end of a log.
  if (!got) co_return fail(std::move(got.error()).in("recover").about(segment_name(index)));
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
  if (!segment.damage.empty()) return damage(name, segment.damage + "; " + lost_from);
  if (!segment.header) return damage(name, "its header is zeros, though the log names it; " + lost_from);
  const auto& header = *segment.header;
  if (header.index != index) {
    return damage(name,
                  fmt::format("its header says segment {}, though the log names it; {}", header.index, lost_from));
  }
  if (identity_ && header.queue_id != identity_->queue_id)
    return damage(name, "belongs to another queue (" + header.queue_name + ")");
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
  return it != segments_.end() && it->second.in_log(index);
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
  const auto& header = *segment.header;
  if (out_.segments.empty() || salvages()) next_seq_ = header.first_seq;
  durable_seq_ = std::max(durable_seq_, header.durable_seq);
  const Ordinal ordinal = out_.segments.size() + 1;
  out_.segments.push_back({index, segment.bytes, ordinal});
  replay_.on_segment(out_.segments.back());
  last_index_ = index;
  last_life_ = header.life;
  if (!segment.adopted) replay_.on_state(header.state);
  RecordVisitor visit = [&](const RecordView& record, std::uint64_t offset) {
    if (!is_logical(record.type) || !replayed_) return;
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
    if (!end_.resume_offset || !lose(index, end_.offset, end_.resume_seq - 1, end_.fault)) break;
    end_ = scan_segment(file, header.life, *end_.resume_offset, end_.resume_seq, visit);
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
  for (auto it = segments_.upper_bound(last); it != segments_.end(); ++it) {
    const auto& [index, segment] = *it;
    if (!segment.in_log(index) || (identity_ && segment.header->queue_id != identity_->queue_id)) continue;
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

Task<Result<void>> Recovery::read_mark() {
  if (!has_mark_) {
    note("mark: missing; made anew (no message is lost by that)");
    co_return Result<void>();
  }
  AlignedBuffer blocks(2 * kBlockBytes);
  auto file = co_await io::open(storage_, std::string(kMarkName), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  auto got = co_await io::read(storage_, *file, 0, blocks.span(), Storage::ReadPath::kDevice);
  storage_.close(*file);
  if (!got && !salvages()) co_return fail(got.error());
  mark_unreadable_ = !got;
  if (!got) got = 0;
  if (*got < 2 * kBlockBytes) note("mark: cut short; made anew (no message is lost by that)");
  for (std::size_t i = 0; i < 2; ++i) {
    const auto block = blocks.view().subspan(i * kBlockBytes, kBlockBytes);
    const bool zero = std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
    const auto mark = decode_mark(block);
    if (!mark && zero) continue;
    if (!mark || mark->turn % 2 != i || (identity_ && mark->queue_id != identity_->queue_id)) {
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
      fmt::format("offset {}: {}, though records up to {} were known to be durable: records {} to {} are lost",
                  end_.offset, why, durable_seq_ - 1, next_seq_, durable_seq_ - 1));
}

}  // namespace qh::queue::wal
