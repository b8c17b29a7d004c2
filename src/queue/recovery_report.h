// queue/recovery_report.h - what a start found in the log.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace qh::queue {

/// A range of the log that could not be read (wal repair).
struct LostRange {
  std::string file;
  std::uint64_t offset = 0;
  /// Inclusive. `to_seq` + 1 == `from_seq`: no record; `to_seq` less than that: nobody knows how many. `from_seq` 0:
  /// nobody knows which was the first.
  std::uint64_t from_seq = 0, to_seq = 0;
  std::string why;
  bool at_least = false;  ///< there may have been more behind `to_seq`
};

struct RecoveryReport {
  bool created = false;  ///< there was no queue; a new one was made
  /// Of the queue in this directory: random, made with it, and kept as long as it lives. Ids count within it.
  std::array<std::byte, 16> queue_id{};
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;  ///< read
  std::uint64_t records = 0;
  std::uint64_t messages = 0;  ///< ready, delayed or leased when the log ended
  std::uint64_t dead_letters = 0;
  std::uint64_t torn_bytes = 0;  ///< above the known-durable mark, set aside
  Duration took{};
  std::vector<LostRange> lost;             ///< salvage only
  std::vector<std::string> damaged_files;  ///< salvage only: not needed once all is rewritten
  std::vector<std::string> notes;          ///< each thing set aside or mended, by file name
};

}  // namespace qh::queue
