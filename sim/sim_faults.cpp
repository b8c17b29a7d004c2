#include "sim/sim_faults.h"

#include "base/invariant.h"

namespace qh {

std::string_view disk_op_name(DiskOp op) {
  static constexpr std::array<std::string_view, kDiskOps> kNames = {
      "open",     "read",   "write",  "durable write", "sync",           "zero fill",
      "truncate", "rename", "remove", "list",          "sync directory", "free space"};
  return kNames[static_cast<std::size_t>(op)];
}

void SimFaults::set_rate(double probability, DiskOpSet ops, std::vector<int> errnos) {
  INVARIANT(probability == 0 || !errnos.empty(), "a fault needs an errno");
  rate_ = probability;
  rate_ops_ = ops;
  rate_errnos_ = std::move(errnos);
}

void SimFaults::clear() {
  plans_.clear();
  rate_ = 0;
}

int SimFaults::next(DiskOp op, std::string_view name, Rng& rng) {
  int os_errno = 0;
  for (auto& [fault, seen] : plans_) {
    if ((fault.ops & only(op)) == 0 || name.find(fault.name_contains) == std::string_view::npos) continue;
    ++seen;
    if (os_errno == 0 && (seen == fault.nth || (fault.lasting && seen > fault.nth))) os_errno = fault.os_errno;
  }
  if (os_errno == 0 && rate_ > 0 && (rate_ops_ & only(op)) != 0 && rng.fraction() < rate_) {
    os_errno = rate_errnos_[rng.below(rate_errnos_.size())];
  }
  if (os_errno != 0) ++struck_;
  return os_errno;
}

}  // namespace qh
