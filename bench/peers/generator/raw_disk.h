// bench/peers/generator/raw_disk.h - what the disk under the servers gives to one writer.
//
// Threads  one at a time.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace qh::bench {

/// Writes/s, one after the other, in a file of its own that is removed at the end.
struct DiskRates {
  double overwrite = 0;  ///< 4 KiB in place, durable by itself (O_DSYNC): the least that a log can do
  double append = 0;     ///< 300 bytes at the end and fdatasync: what a log does that grows
};

/// `seconds` for each of the two.
Result<DiskRates> raw_disk(const std::filesystem::path& directory, double seconds);

}  // namespace qh::bench
