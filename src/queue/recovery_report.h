// queue/recovery_report.h - what a start found in the log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace qh::queue {

struct RecoveryReport {
  bool created = false;             ///< there was no queue; a new one was made
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;          ///< read
  std::uint64_t records = 0;
  std::uint64_t messages = 0;       ///< ready, delayed or leased when the log ended
  std::uint64_t dead_letters = 0;
  std::uint64_t torn_bytes = 0;     ///< above the known-durable mark, set aside
  Duration took{};
  std::vector<std::string> notes;   ///< each thing set aside or mended, by file name
};

}  // namespace qh::queue
