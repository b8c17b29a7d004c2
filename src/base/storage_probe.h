// base/storage_probe.h - which way of writing durably is fastest in this directory.
//
// Whether O_DIRECT with RWF_DSYNC, RWF_DSYNC or fdatasync wins differs by file system, journal and device,
// and some refuse the first two, so we measure: a few durable 4 KiB overwrites of a small zero-filled
// file, each method in turn, and the median of each. The first of the three is taken, unless a later one
// is a fifth quicker.
//
// Durability  none needed: the file is unlinked before the first measured write.
// Errors      none: where nothing can be measured (disk full, read-only) the answer is kFdatasync,
//             which works everywhere, and `note` says why.
// Units       Duration. The probe ends after about kProbeBudget, with at least one write a method.
// Threads     any; it blocks.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace qh {

enum class WriteMethod : std::uint8_t {
  kAuto,       ///< measure and choose
  kDirect,     ///< RWF_DSYNC on an O_DIRECT descriptor: past the page cache
  kDsync,      ///< pwritev2 with RWF_DSYNC: through the page cache, one call
  kFdatasync,  ///< pwrite, then fdatasync: works everywhere
};

/// "auto", "direct", "dsync", "fdatasync".
std::string_view write_method_name(WriteMethod method);

struct ProbeReport {
  struct Line {
    WriteMethod method = WriteMethod::kFdatasync;
    Duration median{0};  ///< of `writes` writes
    int writes = 0;      ///< 0: not tried, or refused with `os_errno`
    int os_errno = 0;
  };
  std::array<Line, 3> lines;  ///< direct, dsync, fdatasync
  WriteMethod chosen = WriteMethod::kFdatasync;
  std::string note;  ///< why nothing was measured; else empty

  const Line& line(WriteMethod method) const;
  /// "direct 163 us, dsync 242 us, fdatasync 251 us: direct"
  std::string to_string() const;
};

inline constexpr int kProbeWrites = 8;
inline constexpr Duration kProbeBudget = std::chrono::milliseconds(60);

/// With kAuto all three are measured; else only `wanted` is tried, and `chosen` is `wanted` only if it works.
ProbeReport probe_storage(int directory_fd, WriteMethod wanted, Clock& clock);

}  // namespace qh
