// rpc/metrics_text.h - a queue's figures as JSON text, as qssh_getMetrics answers them.
//
// Threads  pure functions.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "queue/metrics.h"

namespace qh::rpc {

/// An object, the seeds' figures first.
std::string metrics_text(const queue::Metrics& metrics);
/// RFC 3339 in UTC with milliseconds: 2026-11-21T08:00:00.000Z.
std::string rfc3339(WallTime time);

}  // namespace qh::rpc
