// serve/binary_server.h - the port of the binary RPC: docs/formats/rpc-binary.md over TCP.
//
// Callers go by the validator's name and have every role, so it is for loopback alone; configuration sees to that.
//
// Bounds   connections, time for a preface, for a whole frame, for an answer to be read, and between requests. A peer
//          whose answers are not read, or whose requests are too many or too large for now, is not read until there
//          is room (rpc/binary_link.h); no deadline of its own runs meanwhile. Where the half requests, or the unread
//          answers, of all together are too much, who has been at one the longest is closed, so that the others go on.
// Threads  its loop's; bind() before that one runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_function.h"
#include "serve/descriptors.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio
namespace qh::rpc {
class Dispatcher;
}  // namespace qh::rpc

namespace qh::serve {

struct BinaryBounds {
  Duration preface_within = std::chrono::seconds(5);
  Duration frame_within = std::chrono::seconds(30);  ///< from its first byte
  Duration write_within = std::chrono::seconds(30);  ///< anew for each 64 KiB of an answer that the peer takes
  Duration idle_within = std::chrono::minutes(10);   ///< with no call under way
  Duration linger = std::chrono::seconds(2);         ///< for a peer to read the last word while it still sends
  ConnectionBound connections = 4096;
  /// Of all connections together: requests that have not come whole, above the first 64 KiB of each; and once more
  /// answers that have not gone out, each of them whole. A buffer is at most twice what has come.
  std::size_t buffered_bytes = 256U << 20;
  /// While one of these is over its bound, a connection is closed that has been at its request, or has taken less than
  /// 64 KiB of its answers, for longer than this; behind those, one that has taken them steadily for twice as long.
  Duration gives_way_after = std::chrono::seconds(1);
};

struct BinaryServerSettings {
  std::string name;  ///< whose port it is; callers go by it
  std::uint16_t port = 0;
  std::vector<std::string> listen;  ///< empty: 127.0.0.1, and ::1 where there is one
  std::string port_flag_hint;       ///< what an error about the port tells to do
  BinaryBounds bounds = {};
};

class BinaryServer {
 public:
  BinaryServer(boost::asio::io_context& loop, BinaryServerSettings settings);
  ~BinaryServer();
  BinaryServer(const BinaryServer&) = delete;
  BinaryServer& operator=(const BinaryServer&) = delete;

  Result<void> bind();
  /// Takes connections from now on. `dispatcher` outlives the server.
  Result<void> listen(rpc::Dispatcher& dispatcher);
  /// Sends the answers that have gathered, in one write a connection. What nobody flushes goes out by itself when the
  /// loop has gone round.
  void flush();
  /// Takes no new connections.
  void begin_stop();
  /// Lets the answers that are under way go out, then closes; calls `done` once, within a second.
  void finish(UniqueFunction<void()> done);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::serve
