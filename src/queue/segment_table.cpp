#include "queue/segment_table.h"

#include <algorithm>

#include "base/invariant.h"

namespace qh::queue {

void SegmentTable::started(std::uint64_t index, std::uint64_t bytes, wal::Ordinal last_ordinal) {
  if (!segments_.empty()) {
    sealed_bytes_ += segments_.back().bytes;
    sealed_live_most_ = std::max(sealed_live_most_, segments_.back().live_bytes);
  }
  segments_.push_back({index, bytes, std::max(last_placed_, last_ordinal), 0});
  last_placed_ = std::max(last_placed_, last_ordinal);
}

void SegmentTable::placed(wal::Ordinal ordinal) {
  auto& current = segments_.back();
  last_placed_ = current.last_ordinal = ordinal;
  const auto live = unplaced_.find(ordinal);
  if (live == unplaced_.end()) return;
  set_live(current, current.live_bytes + live->second);
  unplaced_live_ -= live->second;
  unplaced_.erase(live);
}

SegmentTable::Segment& SegmentTable::segment_of(wal::Ordinal ordinal) {
  const auto it = std::lower_bound(segments_.begin(), segments_.end(), ordinal,
                                   [](const Segment& s, wal::Ordinal o) { return s.last_ordinal < o; });
  INVARIANT(it != segments_.end(), "a live record stands in a segment of the log");
  return *it;
}

void SegmentTable::add_live(wal::Ordinal ordinal, std::uint64_t bytes) {
  live_bytes_ += bytes;
  if (ordinal > last_placed_) {
    unplaced_[ordinal] += bytes;
    unplaced_live_ += bytes;
  } else {
    auto& segment = segment_of(ordinal);
    set_live(segment, segment.live_bytes + bytes);
    if (&segment != &segments_.back()) sealed_live_most_ = std::max(sealed_live_most_, segment.live_bytes);
  }
}

void SegmentTable::drop_live(wal::Ordinal ordinal, std::uint64_t bytes) {
  INVARIANT(live_bytes_ >= bytes, "what ends was alive");
  live_bytes_ -= bytes;
  if (ordinal > last_placed_) {
    auto& live = unplaced_[ordinal];
    INVARIANT(live >= bytes, "what ends was alive in its batch");
    live -= bytes;
    unplaced_live_ -= bytes;
  } else {
    auto& segment = segment_of(ordinal);
    INVARIANT(segment.live_bytes >= bytes, "what ends was alive in its segment");
    set_live(segment, segment.live_bytes - bytes);
  }
}

void SegmentTable::set_live(Segment& segment, std::uint64_t live) {
  const auto over = [&] { return segment.live_bytes > segment.bytes ? segment.live_bytes - segment.bytes : 0; };
  grown_over_ -= over();
  segment.live_bytes = live;
  grown_over_ += over();
}

void SegmentTable::drop_head() {
  sealed_bytes_ -= segments_.front().bytes;
  set_live(segments_.front(), 0);
  segments_.pop_front();
  refresh();
}

std::uint64_t SegmentTable::live_most() const {
  const auto current = segments_.empty() ? 0 : segments_.back().live_bytes;
  return std::max(sealed_live_most_, current + unplaced_live_);
}

void SegmentTable::refresh() {
  sealed_live_most_ = 0;
  for (std::size_t i = 0; i + 1 < segments_.size(); ++i) {
    sealed_live_most_ = std::max(sealed_live_most_, segments_[i].live_bytes);
  }
}

std::uint64_t SegmentTable::smallest() const {
  std::uint64_t least = UINT64_MAX;
  for (const auto& segment : segments_) least = std::min(least, segment.bytes);
  return least;
}

std::uint64_t SegmentTable::bytes_to_carry() const {
  std::uint64_t most = 0;
  for (const auto& segment : segments_) {
    const auto packed = segment.live_bytes + segment.live_bytes / 128 + 4 * wal::kBlockBytes;
    most = std::max(most, std::min(segment.bytes, align_up(packed, wal::kBlockBytes)));
  }
  return most;
}

}  // namespace qh::queue
