// serve/descriptors.h - how many connections fit into the files that this process may have open.
//
// A connection is a descriptor, and so is each file of a log. Connections are bounded so that the logs always find one.
//
// Threads  any, unless it says otherwise.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "node/limits.h"

namespace qh::serve {

using node::kMoreDescriptors;

/// How many connections a port may have, while its validators come and go: copies share one number, which any thread
/// may set. Connections that are over a lowered one stay; no more are taken until enough have gone.
class ConnectionBound {
 public:
  ConnectionBound(std::size_t most)  // NOLINT(google-explicit-constructor): a number is a bound that nobody moves
      : most_(std::make_shared<std::atomic<std::size_t>>(most)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator std::size_t() const { return most_->load(std::memory_order_relaxed); }
  void set(std::size_t most) { most_->store(most, std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<std::size_t>> most_;
};

/// Raises what a shell or a service manager gives to what it allows; answers how many that are. Before the first port
/// is open.
std::size_t raise_descriptor_limit();

struct PortCounts {
  std::size_t validators = 0;
  std::size_t of_each = 1;  ///< ports of a validator: JSON-RPC, and the binary RPC where there is one
};
/// Connections that each port of a validator may have: `wanted`, or fewer where all ports' together would take the
/// logs' descriptors. The web port, the metrics port and its WebSockets may have `other` each, in the same proportion.
struct ConnectionBounds {
  std::size_t validator = 0;
  std::size_t other = 0;
  friend bool operator==(const ConnectionBounds&, const ConnectionBounds&) = default;
};
ConnectionBounds connections_that_fit(std::size_t descriptors, PortCounts ports, ConnectionBounds wanted);

/// What a node has open at the most while each of its ports has the fewest connections that a port may have. kIo where
/// so many may not be open, with what to do.
std::size_t descriptors_needed(PortCounts ports);
Result<void> has_descriptors_for(std::size_t descriptors, PortCounts ports);

/// Whether the limit and what is open now leave one more validator what it needs beside those that `ports` counts;
/// kBusy with what to do.
Result<void> has_room_for_a_validator(PortCounts ports);

}  // namespace qh::serve
