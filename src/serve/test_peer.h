// serve/test_peer.h - a client that does as badly as a test wants. For the tests of this room.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace qh::serve {

inline constexpr int kPatienceMs = 20'000;

class Peer {
 public:
  /// `receive_bytes` of what has come and is not read yet are held for it; 0: as much as the system likes.
  explicit Peer(std::uint16_t port, int receive_bytes = 0) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes != 0) {
      EXPECT_EQ(::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send(std::string_view text) const {
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  /// As much as the system takes at once; how much that was.
  std::size_t send_some(std::string_view text) const {
    const auto sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }
  /// What has come; how much that was.
  std::size_t drain() const {
    std::array<char, 65536> bytes;
    std::size_t all = 0;
    for (ssize_t got = 0; (got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
      all += static_cast<std::size_t>(got);
    return all;
  }
  /// What comes next, `most` bytes of it; nothing at the end, or when nothing comes.
  std::string read_some(std::size_t most = 65536) const {
    std::string bytes(most, '\0');
    const auto got = hears_within(kPatienceMs) ? ::recv(fd_, bytes.data(), bytes.size(), 0) : 0;
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }
  void end_sending() const { EXPECT_EQ(::shutdown(fd_, SHUT_WR), 0); }
  /// For a peer that may be closed by now.
  void try_to_send(std::string_view text) const { (void)::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  bool hears_within(int milliseconds) const {
    pollfd wait{fd_, POLLIN, 0};
    return ::poll(&wait, 1, milliseconds) == 1;
  }
  /// Everything until the other side ends; "(still open)" behind it when it does not.
  std::string until_end() const {
    std::string all;
    for (;;) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, kPatienceMs) <= 0) return all + "(still open)";
      std::array<char, 4096> bytes;
      const auto got = ::recv(fd_, bytes.data(), bytes.size(), 0);
      if (got <= 0) return all;
      all.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }
  /// Until `text` has come.
  bool reads(std::string_view text) const {
    std::string all;
    while (all.find(text) == all.npos) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, kPatienceMs) <= 0) return false;
      std::array<char, 4096> bytes;
      const auto got = ::recv(fd_, bytes.data(), bytes.size(), 0);
      if (got <= 0) return false;
      all.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return true;
  }
  /// How many of so many bytes have come when they all have, the other side has ended, or nothing more comes.
  std::size_t reads_bytes(std::size_t wanted) const {
    std::array<char, 65536> bytes;
    std::size_t all = 0;
    while (all < wanted && hears_within(kPatienceMs)) {
      const auto got = ::recv(fd_, bytes.data(), std::min(bytes.size(), wanted - all), 0);
      if (got <= 0) break;
      all += static_cast<std::size_t>(got);
    }
    return all;
  }
  /// The other side has closed, seen without reading what it sent before: it answers our next bytes with a reset.
  bool is_reset() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (std::chrono::steady_clock::now() < deadline) {
      if (is_reset_within(50)) return true;
    }
    return false;
  }
  bool is_reset_within(int milliseconds) const {
    if (::send(fd_, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) return true;
    pollfd wait{fd_, 0, 0};
    return ::poll(&wait, 1, milliseconds) == 1;
  }

 private:
  int fd_;
};

}  // namespace qh::serve
