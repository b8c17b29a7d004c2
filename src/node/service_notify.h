// node/service_notify.h - tells systemd how we are (sd_notify(3)), without its library.
//
// Errors   who started us without $NOTIFY_SOCKET misses nothing.
// Bounds   nobody waits for a manager that does not read: what its socket does not take at once is not sent.
// Threads  any.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace qh::node {

/// "READY=1", "STOPPING=1", "STATUS=...". False: it was not taken, and may be said again later.
bool notify_service(std::string_view state);

/// How often the service manager wants to hear that all is well (WATCHDOG_USEC); nothing: it does not.
std::optional<Duration> watchdog_interval();

}  // namespace qh::node
