#include "serve/connection.h"

#include "serve/connection_socket.h"

namespace qh::serve {

Connection::Connection(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
Connection::Connection(Connection&& other) noexcept = default;
Connection& Connection::operator=(Connection&& other) noexcept = default;
Connection::~Connection() = default;

}  // namespace qh::serve
