// serve/ws_session.h - one WebSocket (RFC 6455), by Boost.Beast.
//
//   const auto session = WsSession::make(std::move(connection), bounds);
//   session->run(begin, {.opened = ..., .message = ..., .closed = ...});
//   session->send(text);
//
// What is sent while another message is on its way waits in one place, and a newer one takes it. The next message is
// read when all that is to be sent has gone.
//
// Of states a slow reader gets the newest and never a backlog, whatever the systems between hold: behind each stands a
// ping, and what is sent next waits until its pong is back. So one state at most is on its way to who does not read.
// A pong of another ping has it sent once more.
//
// Bounds   message size, handshake time, silence: after half of `idle` a ping is sent, after all of it the end; as much
//          for a state to go out, and then for its pong to come.
// Threads  the socket's loop. Lifetime  kept by what it waits for; after closed() nothing is called any more.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_function.h"
#include "serve/connection.h"

namespace qh::serve {

struct WsBounds {
  std::size_t message_bytes = 64U << 10;  ///< of what is received; over it the connection is closed (1009)
  Duration handshake = std::chrono::seconds(5);
  Duration idle = std::chrono::seconds(40);
};

class WsSession : public std::enable_shared_from_this<WsSession> {
 public:
  struct Hooks {
    UniqueFunction<void()> opened;
    UniqueFunction<void(std::string_view message, bool text)> message;
    UniqueFunction<void()> closed;  ///< once, also when the handshake fails
  };

  static std::shared_ptr<WsSession> make(Connection connection, const WsBounds& bounds);
  virtual ~WsSession() = default;

  /// `begin`: the client's request, and what came behind it.
  virtual void run(std::string_view begin, Hooks hooks) = 0;
  virtual void send(std::shared_ptr<const std::string> message, bool text = true) = 0;
  /// A text that the next one makes worthless.
  virtual void send_state(std::shared_ptr<const std::string> state) = 0;
  /// Says goodbye (1001), then ends.
  virtual void stop() = 0;
};

}  // namespace qh::serve
