// sim/sim_faults.h - which operation of the simulated disk fails, and with what.
//
// Two ways: a plan ("the third sync from now, with EIO") that lets a test go through every possible place,
// and a rate that a seed draws from.
//
// Threads  one owner.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace qh {

enum class DiskOp : std::uint8_t {
  kOpen,
  kRead,
  kWrite,         ///< kCached
  kDurableWrite,  ///< kDurable
  kSync,
  kZeroFill,
  kTruncate,
  kRename,
  kRemove,
  kList,
  kSyncDirectory,
  kFreeSpace,
};
inline constexpr std::size_t kDiskOps = 12;
std::string_view disk_op_name(DiskOp op);

/// A set of kinds, one bit each.
using DiskOpSet = std::uint32_t;
constexpr DiskOpSet only(DiskOp op) { return DiskOpSet{1} << static_cast<unsigned>(op); }
inline constexpr DiskOpSet kAnyDiskOp = (DiskOpSet{1} << kDiskOps) - 1;
inline constexpr DiskOpSet kMakesDurable =
    only(DiskOp::kDurableWrite) | only(DiskOp::kSync) | only(DiskOp::kSyncDirectory);
inline constexpr DiskOpSet kChangesDisk = kMakesDurable | only(DiskOp::kWrite) | only(DiskOp::kZeroFill) |
                                          only(DiskOp::kTruncate) | only(DiskOp::kRename) | only(DiskOp::kRemove);

class SimFaults {
 public:
  struct Fault {
    DiskOpSet ops = kAnyDiskOp;
    std::uint64_t nth = 1;  ///< counted from when the plan was made, among `ops` on such files; 1: the next
    int os_errno = EIO;
    bool lasting = false;  ///< from the nth on, every one
    std::string name_contains = {};
  };

  void plan(Fault fault) { plans_.push_back({std::move(fault), 0}); }
  /// Each operation of `ops` fails with `probability`, with one of `errnos`.
  void set_rate(double probability, DiskOpSet ops, std::vector<int> errnos);
  void clear();

  /// Counts the operation; 0: it goes well.
  int next(DiskOp op, std::string_view name, Rng& rng);
  /// How many planned and drawn faults have struck.
  std::uint64_t struck() const { return struck_; }

 private:
  struct Planned {
    Fault fault;
    std::uint64_t seen = 0;
  };
  std::vector<Planned> plans_;
  double rate_ = 0;
  DiskOpSet rate_ops_ = 0;
  std::vector<int> rate_errnos_;
  std::uint64_t struck_ = 0;
};

}  // namespace qh
