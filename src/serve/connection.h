// serve/connection.h - a connected socket on its way from one owner to another, without Asio's name.
//
// Threads  its loop's.
#pragma once

#include <memory>

namespace qh::serve {

class Connection {
 public:
  struct Socket;  ///< connection_socket.h

  explicit Connection(std::unique_ptr<Socket> socket);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();

  Socket& socket() { return *socket_; }

 private:
  std::unique_ptr<Socket> socket_;
};

}  // namespace qh::serve
