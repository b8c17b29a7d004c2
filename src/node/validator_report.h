// node/validator_report.h - what is known about a validator of the node.
//
// Threads  values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "node/validator.h"
#include "queue/metrics.h"

namespace qh::node {

enum class ValidatorState : std::uint8_t { kStarting, kRunning, kRestarting, kFailed, kStopping, kStopped };
std::string_view state_name(ValidatorState state);

struct ValidatorReport {
  std::string name;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;  ///< 0: none
  std::filesystem::path directory;
  bool configured = false;  ///< from the start on; false: added while the node runs
  ValidatorState state = ValidatorState::kStopped;
  bool hung = false;                ///< kFailed since its stop did not end: its thread is left behind
  std::optional<Started> started;   ///< of its newest start
  std::optional<Error> error;       ///< why it does not run, or is started again; none while it runs
  std::optional<Error> stop_error;  ///< why it did not stop well, until it is started again
  std::uint64_t restarts = 0;       ///< after an error
  std::optional<queue::Metrics> figures;
  MonoTime turned_at;  ///< when its loop turned last, to the second; it sends its figures then when it runs
};

/// "ready on port 9945: 12 messages recovered in 3.0 ms, data in ..., durable writes by ..."; of one that was started.
std::string ready_text(const ValidatorReport& report);

}  // namespace qh::node
