// serve/http_server.h - the listeners and connections of one port.
//
// Errors   a port that cannot be had names its holder and what to do.
// Bounds   connections, header, body, time for each. What is over them is refused with a status and a word why, never
//          left hanging.
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
#include "serve/access.h"
#include "serve/descriptors.h"
#include "serve/http_request.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace qh::serve {

class HttpService;

/// The defaults are those of the contract.
struct HttpBounds {
  HttpLimits request;
  Duration header_within = std::chrono::seconds(5);  ///< from its first byte
  Duration body_within = std::chrono::seconds(30);
  Duration write_within = std::chrono::seconds(30);  ///< for each kProgressBytes (sessions.h) of an answer, or its rest
  Duration room_within = std::chrono::seconds(2);    ///< for a request to find room for its answer; then it is refused
  Duration idle_within = std::chrono::seconds(60);
  Duration linger = std::chrono::seconds(2);  ///< for a peer to read a refusal while it still sends
  ConnectionBound connections = 4096;
  /// Over that, one is closed for the one that comes: who has rested the longest; else who has not sent a whole
  /// request, the longest first; else of those that read an answer whose turn it is. Where false, the one that comes is
  /// refused.
  bool slowest_gives_way = false;
  Duration rested = std::chrono::seconds(1);  ///< idle for so long is at rest
  std::size_t buffered_bytes = 256U << 20;    ///< of all connections together: requests, and once more answers
  /// While answers are over that bound, connections whose answer has been out for longer than this are closed, so that
  /// others go on: who has made no progress for as long, the longest first; then the slowest readers, but not while
  /// answers that are newer could make room.
  Duration unread_within = std::chrono::seconds(1);
};

struct HttpServerSettings {
  std::string name;  ///< whose port it is, for errors; callers on loopback without a token go by it
  std::uint16_t port = 0;
  /// Addresses to listen on. Empty: 127.0.0.1, and ::1 where there is one.
  std::vector<std::string> listen;
  std::string port_flag_hint;  ///< what an error about the port tells to do
  AccessRules access;
  HttpBounds bounds;
};

class HttpServer {
 public:
  HttpServer(boost::asio::io_context& loop, HttpServerSettings settings);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  Result<void> bind();
  /// The one that bind() got: another one than the settings' where they say 0.
  std::uint16_t port() const;
  /// Takes connections from now on. `service` outlives the server.
  Result<void> listen(HttpService& service);
  /// Takes no new connections.
  void begin_stop();
  /// Lets the answers that are under way go out, then closes; calls `done` once, within a second.
  void finish(UniqueFunction<void()> done);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::serve
