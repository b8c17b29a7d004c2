#include "serve/ready_sockets.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>

namespace qh::serve {
namespace {

tl::unexpected<Error> failed(const char* call) {
  return fail(Errc::kIo, std::string(call) + ": " + std::generic_category().message(errno));
}

/// The loop has other work, too: behind so much time, and so many, what is ready stays so for its next turn.
constexpr auto kTurn = std::chrono::milliseconds(5);
constexpr std::size_t kAtOnce = 32;

}  // namespace

Result<void> ReadySockets::open() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return failed("epoll_create1");
  boost::system::error_code error;
  epoll_.assign(fd, error);
  if (error) {
    ::close(fd);
    return fail(Errc::kIo, "epoll: " + error.message());
  }
  wait();
  return {};
}

Result<ReadySockets::Place> ReadySockets::add(int fd, Socket& socket) {
  if (free_.empty()) {
    free_.push_back(static_cast<Place>(slots_.size()));
    slots_.emplace_back();
  }
  const Place place = free_.back();
  auto& slot = slots_[place];
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | static_cast<std::uint32_t>(EPOLLET);
  event.data.u64 = std::uint64_t{slot.turn} << 32U | place;
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return failed("epoll_ctl");
  free_.pop_back();
  slot.socket = &socket;
  slot.fd = fd;
  return place;
}

void ReadySockets::remove(Place place) {
  auto& slot = slots_[place];
  if (epoll_.is_open()) (void)::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, slot.fd, nullptr);
  slot.socket = nullptr;
  ++slot.turn;
  free_.push_back(place);
}

void ReadySockets::close() {
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

void ReadySockets::wait() {
  epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // closed
    serve();
    if (epoll_.is_open()) wait();
  });
}

// What comes while the others are served shares their durable write.
void ReadySockets::serve() {
  const auto until = std::chrono::steady_clock::now() + kTurn;
  while (serve_some() && std::chrono::steady_clock::now() < until) {
  }
}

bool ReadySockets::serve_some() {
  std::array<epoll_event, kAtOnce> events;
  const int count = ::epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto& slot = slots_[static_cast<Place>(event.data.u64)];
    if (slot.socket != nullptr && slot.turn == event.data.u64 >> 32U) slot.socket->on_ready(event.events);
  }
  return count > 0;
}

}  // namespace qh::serve
