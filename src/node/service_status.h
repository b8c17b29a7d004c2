// node/service_status.h - the line that `systemctl status` shows: how many validators are ready, and what the others
// do.
//
// Threads  pure functions.
#pragma once

#include <span>
#include <string>

#include "node/validator_report.h"

namespace qh::node {

/// "3 validators ready"; "2 of 3 validators ready: bob is restarting".
std::string service_status(std::span<const ValidatorReport> reports);

}  // namespace qh::node
