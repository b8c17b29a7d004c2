#include "http_client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>

#include "node_process.h"

namespace qh::test {

boost::json::value HttpReply::json() const {
  boost::system::error_code error;
  auto value = boost::json::parse(body, error);
  EXPECT_FALSE(error) << body;
  return value;
}

HttpClient::HttpClient(std::uint16_t port, const char* address) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool is_v6 = std::string_view(address).find(':') != std::string_view::npos;
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (is_v6)
    ::inet_pton(AF_INET6, address, &v6.sin6_addr);
  else
    ::inet_pton(AF_INET, address, &v4.sin_addr);
  fd_ = ::socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto* to = is_v6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
  if (::connect(fd_, to, is_v6 ? sizeof v6 : sizeof v4) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

HttpClient::~HttpClient() {
  if (fd_ >= 0) ::close(fd_);
}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}

HttpClient& HttpClient::operator=(HttpClient&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(received_, other.received_);
  return *this;
}

bool HttpClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void HttpClient::end_sending() const { ::shutdown(fd_, SHUT_WR); }

bool HttpClient::fill() {
  pollfd wait{fd_, POLLIN, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count();
  if (::poll(&wait, 1, static_cast<int>(patience)) <= 0) return false;
  std::array<char, 65536> bytes;
  const auto got = ::recv(fd_, bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  received_.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

std::optional<HttpReply> HttpClient::reply(bool head_only) {
  std::size_t end = 0;
  while ((end = received_.find("\r\n\r\n")) == received_.npos) {
    if (!fill()) return std::nullopt;
  }
  HttpReply reply;
  reply.head = received_.substr(0, end + 2);
  received_.erase(0, end + 4);
  reply.status = std::atoi(reply.head.c_str() + reply.head.find(' '));
  const auto length = reply.head.find("Content-Length: ");
  if (length == reply.head.npos || head_only) return reply;
  const auto bytes = static_cast<std::size_t>(std::atoll(reply.head.c_str() + length + 16));
  while (received_.size() < bytes) {
    if (!fill()) return std::nullopt;
  }
  reply.body = received_.substr(0, bytes);
  received_.erase(0, bytes);
  return reply;
}

namespace {

/// The mask is 0. A ping has less than 126 bytes.
std::string masked_pong(std::string_view payload) {
  std::string frame("\x8a\x80\0\0\0\0", 6);
  frame[1] = static_cast<char>(0x80 | payload.size());
  return frame.append(payload);
}

}  // namespace

// RFC 6455 section 5.2; a server's frames have no mask, and ours are whole messages.
std::optional<std::string> HttpClient::text_frame() {
  const auto need = [&](std::size_t bytes) {
    while (received_.size() < bytes) {
      if (!fill()) return false;
    }
    return true;
  };
  for (;;) {
    if (!need(2)) return std::nullopt;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(received_[i]); };
    const int opcode = byte(0) & 0x0f;
    std::size_t length = byte(1) & 0x7f, head = 2;
    const std::size_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (!need(head + more)) return std::nullopt;
    if (more != 0) length = 0;
    for (std::size_t i = 0; i < more; ++i) length = length << 8 | byte(head + i);
    head += more;
    if (!need(head + length)) return std::nullopt;
    auto text = received_.substr(head, length);
    received_.erase(0, head + length);
    if (opcode == 1) return text;
    if (opcode == 9) send(masked_pong(text));
  }
}

bool HttpClient::ended() {
  if (!received_.empty()) return false;
  pollfd wait{fd_, POLLIN, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count();
  if (::poll(&wait, 1, static_cast<int>(patience)) <= 0) return false;
  char byte = 0;
  return ::recv(fd_, &byte, 1, 0) <= 0;
}

boost::json::value HttpClient::call(std::string_view body, std::string_view headers) {
  EXPECT_TRUE(send(post(body, headers)));
  const auto answer = reply();
  EXPECT_TRUE(answer) << "no answer to " << body;
  return answer ? answer->json() : boost::json::value();
}

std::string post(std::string_view body, std::string_view headers) {
  return "POST / HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string rpc(std::string_view method, std::string_view params) {
  return R"({"jsonrpc":"2.0","method":")" + std::string(method) + R"(","params":)" + std::string(params) +
         R"(,"id":1})";
}

std::int64_t points_lost_but_by_the_disk(const boost::json::value& metrics) {
  std::int64_t lost = 0;
  for (const auto& part : metrics.at("health_parts").as_array())
    lost += part.at("name") == "fsync_p99_ms" ? 0 : part.at("points_lost").to_number<std::int64_t>();
  return lost;
}

}  // namespace qh::test
