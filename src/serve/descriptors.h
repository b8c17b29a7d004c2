// serve/descriptors.h - how many connections fit into the files that this process may have open.
//
// A connection is a descriptor, and so is each file of a log. Connections are bounded so that the logs always find one.
//
// Threads  any; before the first port is open.
#pragma once

#include <cstddef>
#include <string>

namespace qh::serve {

/// Raises what a shell or a service manager gives to what it allows; answers how many that are.
std::size_t raise_descriptor_limit();

/// Connections a validator may have: `wanted`, or fewer where all ports' together would take the logs' descriptors.
/// The web port and the metrics port may have `others` each, in the same proportion.
struct ConnectionBounds {
  std::size_t validator = 0;
  std::size_t other = 0;
};
ConnectionBounds connections_that_fit(std::size_t descriptors, std::size_t validators, ConnectionBounds wanted);

/// What an operator does when descriptors run out.
inline constexpr const char* kMoreDescriptors =
    "allow it more open files: ulimit -n, or LimitNOFILE= in its systemd unit";

}  // namespace qh::serve
