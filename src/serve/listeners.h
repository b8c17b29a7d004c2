// serve/listeners.h - the listening sockets of one port. Private to serve/.
//
// Errors   a port that cannot be had names its holder and what to do.
// Threads  its loop's; bind() before that one runs.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/result.h"
#include "base/unique_function.h"

namespace qh::serve {

struct ListenSettings {
  std::string name;  ///< whose port it is, for errors
  std::uint16_t port = 0;
  /// Addresses to listen on. Empty: 127.0.0.1, and ::1 where there is one.
  std::vector<std::string> addresses;
  std::string port_flag_hint;  ///< what an error about the port tells to do
};

class Listeners {
 public:
  using Welcome = UniqueFunction<void(boost::asio::ip::tcp::socket socket)>;

  Listeners(boost::asio::io_context& loop, ListenSettings settings) : loop_(loop), settings_(std::move(settings)) {}

  /// Port 0: one that is free, the same on every address.
  Result<void> bind();
  /// The one that bind() got.
  std::uint16_t port() const { return settings_.port; }
  /// `welcome` gets every connection from now on.
  Result<void> listen(Welcome welcome);
  /// Takes no new connections.
  void close();

 private:
  struct Listener {
    boost::asio::ip::tcp::acceptor acceptor;
    boost::asio::steady_timer retry;
    std::string name;
    bool paused = false;  ///< the last accept failed
  };

  Error port_error(const std::string& address, int os_errno) const;
  Result<void> bind_one(const std::string& text);
  void accept(Listener& listener);
  void accept_later(Listener& listener, int os_errno);

  boost::asio::io_context& loop_;
  ListenSettings settings_;
  std::list<Listener> listeners_;
  Welcome welcome_;
  bool closed_ = false;
};

}  // namespace qh::serve
