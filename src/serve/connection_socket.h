// serve/connection_socket.h - what a Connection is made of. Private to serve/.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "serve/connection.h"

namespace qh::serve {

struct Connection::Socket {
  boost::asio::ip::tcp::socket tcp;
};

}  // namespace qh::serve
