// node/service_notify.h - tells systemd how we are (sd_notify(3)), without its library.
//
// Errors   none: who started us without $NOTIFY_SOCKET, or cannot hear, misses nothing that we could mend.
// Threads  any.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace qh::node {

/// "READY=1", "STOPPING=1", "STATUS=...".
void notify_service(std::string_view state);

/// How often the service manager wants to hear that all is well (WATCHDOG_USEC); nothing: it does not.
std::optional<Duration> watchdog_interval();

}  // namespace qh::node
