#include "node/service_status.h"

namespace qh::node {

std::string service_status(std::span<const ValidatorReport> reports) {
  std::size_t ready = 0;
  std::string others;
  for (const auto& report : reports) {
    if (report.state == ValidatorState::kRunning) {
      ++ready;
      continue;
    }
    if (!others.empty()) others += ", ";
    others += report.name + " is " + std::string(state_name(report.state));
  }
  const auto all = std::to_string(reports.size());
  const auto* const what = reports.size() == 1 ? " validator ready" : " validators ready";
  if (others.empty()) return all + what;
  return std::to_string(ready) + " of " + all + what + ": " + others;
}

}  // namespace qh::node
