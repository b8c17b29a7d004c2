// node/port_holder.h - which process listens on a TCP port, as far as this user may know.
//
// Threads  any; it reads /proc.
#pragma once

#include <cstdint>
#include <string>

namespace qh::node {

/// "pid 123 (quantumharmony-node)"; "a process of user 0 that this user may not look into"; or "" when
/// nobody is found.
std::string port_holder(std::uint16_t port);

}  // namespace qh::node
