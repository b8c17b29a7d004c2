#include "queue/segment_table.h"

#include <algorithm>

#include "base/invariant.h"

namespace qh::queue {

void SegmentTable::started(std::uint64_t index, std::uint64_t bytes, wal::Ordinal last_ordinal) {
  if (!segments_.empty()) sealed_bytes_ += segments_.back().bytes;
  segments_.push_back({index, bytes, std::max(last_placed_, last_ordinal), 0});
  last_placed_ = std::max(last_placed_, last_ordinal);
}

void SegmentTable::placed(wal::Ordinal ordinal) {
  auto& current = segments_.back();
  last_placed_ = current.last_ordinal = ordinal;
  const auto live = unplaced_.find(ordinal);
  if (live == unplaced_.end()) return;
  current.live_bytes += live->second;
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
  } else {
    segment_of(ordinal).live_bytes += bytes;
  }
}

void SegmentTable::drop_live(wal::Ordinal ordinal, std::uint64_t bytes) {
  INVARIANT(live_bytes_ >= bytes, "what ends was alive");
  live_bytes_ -= bytes;
  auto& live = ordinal > last_placed_ ? unplaced_[ordinal] : segment_of(ordinal).live_bytes;
  INVARIANT(live >= bytes, "what ends was alive in its segment");
  live -= bytes;
}

}  // namespace qh::queue
