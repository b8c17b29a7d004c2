// queue/segment_table.h - which segment holds which batches, and how much of it is alive.
//
// Units    bytes of records; a segment's `bytes` is its file.
// Threads  the owner's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "queue/log_writer.h"

namespace qh::queue {

class SegmentTable {
 public:
  struct Segment {
    std::uint64_t index = 0;
    std::uint64_t bytes = 0;
    wal::Ordinal last_ordinal = 0;  ///< of the batches in it
    std::uint64_t live_bytes = 0;   ///< records that are still needed, as long as they are when they are carried on
  };

  /// The log goes on in this segment. `last_ordinal`: batches that it holds already (recovery).
  void started(std::uint64_t index, std::uint64_t bytes, wal::Ordinal last_ordinal);
  void placed(wal::Ordinal ordinal);
  void add_live(wal::Ordinal ordinal, std::uint64_t bytes);
  void drop_live(wal::Ordinal ordinal, std::uint64_t bytes);

  /// The oldest one, unless it is the one that is written to.
  const Segment* head() const { return segments_.size() > 1 ? &segments_.front() : nullptr; }
  /// The one behind head(). After a repair its number need not be the next.
  const Segment& second() const { return segments_[1]; }
  void drop_head();
  std::uint64_t current() const { return segments_.back().index; }

  std::size_t size() const { return segments_.size(); }
  std::uint64_t live_bytes() const { return live_bytes_; }
  std::uint64_t sealed_bytes() const { return sealed_bytes_; }  ///< all but the current one
  /// At least the live bytes of the fullest segment: what carrying one on can take at most. After a refresh()
  /// exactly that.
  std::uint64_t live_most() const;
  void refresh();
  /// What carrying on the segments whose messages have grown takes beyond the room that each of them gives back.
  std::uint64_t grown_over() const { return grown_over_; }
  std::uint64_t smallest() const;
  /// A new segment of this size can take what is alive in any one of these.
  std::uint64_t bytes_to_carry() const;
  std::uint64_t disk_bytes() const { return segments_.empty() ? 0 : sealed_bytes_ + segments_.back().bytes; }

 private:
  Segment& segment_of(wal::Ordinal ordinal);
  void set_live(Segment& segment, std::uint64_t live);

  std::deque<Segment> segments_;
  std::map<wal::Ordinal, std::uint64_t> unplaced_;  ///< live bytes of batches that are not written yet
  std::uint64_t unplaced_live_ = 0;
  std::uint64_t sealed_live_most_ = 0;
  wal::Ordinal last_placed_ = 0;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t sealed_bytes_ = 0;
  std::uint64_t grown_over_ = 0;
};

}  // namespace qh::queue
