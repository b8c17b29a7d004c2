// serve/ready_sockets.h - many sockets watched by one epoll instance of their own, inside of a loop.
//
// Asio tries each read before it waits, so that a connection which asks and waits costs two calls of recv() a request,
// the first in vain, and a handler besides. Here a socket is watched from when it is added, edge-triggered (epoll(7)):
// its owner reads when it is told, once, until less comes than it has room for.
//
// Threads  the loop's.
// Private to serve/.
#pragma once

#include <cstdint>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/result.h"

namespace qh::serve {

class ReadySockets {
 public:
  class Socket {
   public:
    /// `events` as epoll_wait() gives them. It may remove itself and others, and be destroyed in it.
    virtual void on_ready(std::uint32_t events) = 0;

   protected:
    ~Socket() = default;
  };
  using Place = std::uint32_t;

  explicit ReadySockets(boost::asio::io_context& loop) : epoll_(loop) {}

  /// kIo when there is no descriptor left.
  Result<void> open();
  /// Watches `fd` until remove(), which comes before it is closed and before `socket` ends.
  Result<Place> add(int fd, Socket& socket);
  void remove(Place place);
  /// Watches nothing any more.
  void close();

 private:
  /// An event that was fetched before its socket was removed must not reach the one that has its place now.
  struct Slot {
    Socket* socket = nullptr;
    int fd = -1;
    std::uint32_t turn = 0;
  };

  void wait();
  void serve();
  bool serve_some();

  boost::asio::posix::stream_descriptor epoll_;
  std::vector<Slot> slots_;
  std::vector<Place> free_;
};

}  // namespace qh::serve
