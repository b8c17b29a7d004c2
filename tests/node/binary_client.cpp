#include "binary_client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

#include "node_process.h"

namespace qh::test {

using namespace rpc::binary;  // NOLINT(google-build-using-namespace): this file is about nothing else

BinaryClient::BinaryClient(std::uint16_t port, Greets greets) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << "port " << port;
  if (greets == Greets::kNo) return;
  Bytes preface;
  put_preface(preface);
  EXPECT_TRUE(send(preface));
  while (received_.size() < kPrefaceBytes && fill()) {
  }
  EXPECT_EQ(received_, preface);
  received_.clear();
}

BinaryClient::~BinaryClient() { ::close(fd_); }

bool BinaryClient::send(ByteView bytes) const {
  while (!bytes.empty()) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

void BinaryClient::end_sending() const { ::shutdown(fd_, SHUT_WR); }
void BinaryClient::reset_at_the_end() const {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  EXPECT_EQ(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
}

bool BinaryClient::fill() {
  pollfd wait{fd_, POLLIN, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count();
  if (::poll(&wait, 1, static_cast<int>(patience)) <= 0) return false;
  std::array<std::byte, 65536> bytes;
  const auto got = ::recv(fd_, bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  received_.insert(received_.end(), bytes.begin(), bytes.begin() + got);
  return true;
}

std::optional<BinaryAnswer> BinaryClient::answer() {
  for (;;) {
    const auto frame = parse_frame(received_, From::kServer);
    EXPECT_NE(frame.state, Frame::State::kBroken) << frame.why;
    if (frame.state == Frame::State::kFrame) {
      BinaryAnswer answer{frame.header, Bytes(frame.body.begin(), frame.body.end())};
      received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(frame.wire_bytes()));
      return answer;
    }
    if (frame.state == Frame::State::kBroken || !fill()) return std::nullopt;
  }
}

std::optional<std::string> BinaryClient::rest() {
  while (fill()) {
  }
  char more = 0;
  if (::recv(fd_, &more, 1, MSG_DONTWAIT) != 0) return std::nullopt;
  return std::string(as_text(received_));
}

}  // namespace qh::test
