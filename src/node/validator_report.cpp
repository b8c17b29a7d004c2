#include "node/validator_report.h"

#include "node/start_screen.h"

namespace qh::node {

std::string_view state_name(ValidatorState state) {
  switch (state) {
    case ValidatorState::kStarting:
      return "starting";
    case ValidatorState::kRunning:
      return "running";
    case ValidatorState::kRestarting:
      return "restarting";
    case ValidatorState::kFailed:
      return "failed";
    case ValidatorState::kStopping:
      return "stopping";
    case ValidatorState::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string ready_text(const ValidatorReport& report) {
  auto text = "ready on port " + std::to_string(report.port);
  if (report.binary_port != 0) text += ", binary on port " + std::to_string(report.binary_port);
  return text + ": " + recovered_text(report.started->recovery) + ", data in " + report.directory.string() +
         ", durable writes by " + report.started->write_method;
}

}  // namespace qh::node
