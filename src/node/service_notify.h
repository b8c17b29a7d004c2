// node/service_notify.h - tells systemd how we are (sd_notify(3)), without its library.
//
// Errors   none: who started us without $NOTIFY_SOCKET, or cannot hear, misses nothing that we could mend.
// Threads  any.
#pragma once

#include <string_view>

namespace qh::node {

/// "READY=1", "STOPPING=1", "STATUS=...".
void notify_service(std::string_view state);

}  // namespace qh::node
