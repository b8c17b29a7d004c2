// bench/peers/generator/epoll.h - which of a thread's sockets have something to read.
//
// Threads  one at a time.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace qh::bench {

class Epoll {
 public:
  Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {}
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;
  ~Epoll() { ::close(fd_); }

  /// `index` comes back from wait(); closing the socket removes it.
  Result<void> add(int fd, std::size_t index) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u64 = index;
    if (::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &wanted) == 0) return {};
    return fail(Error(Errc::kIo, "epoll_ctl", errno));
  }

  /// At most `timeout_ns`, or without an end when negative. Valid until the next call.
  Result<std::span<const epoll_event>> wait(std::int64_t timeout_ns) {
    const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
    const int count = ::epoll_pwait2(fd_, events_.data(), static_cast<int>(events_.size()),
                                     timeout_ns < 0 ? nullptr : &timeout, nullptr);
    if (count < 0 && errno != EINTR) return fail(Error(Errc::kIo, "epoll_pwait2", errno));
    return std::span<const epoll_event>(events_).first(count < 0 ? 0 : static_cast<std::size_t>(count));
  }

 private:
  int fd_;
  std::array<epoll_event, 128> events_{};
};

}  // namespace qh::bench
