#include "bench/peers/generator/client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace qh::bench {
namespace {

tl::unexpected<Error> system_error(std::string what) { return fail(Error(Errc::kIo, std::move(what), errno)); }

}  // namespace

Client::~Client() { ::close(fd_); }

Result<std::unique_ptr<Client>> Client::connect(std::uint16_t port, std::unique_ptr<Conversation> conversation) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket");
  std::unique_ptr<Client> client(new Client(fd, std::move(conversation)));
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("connect to port " + std::to_string(port));
  }
  client->out_.clear();
  if (!client->conversation_->open(client->out_)) return client;
  if (auto sent = client->send_out(); !sent) return fail(sent.error());
  for (;;) {
    const auto state = client->receive(Wait::kYes);
    if (!state) return fail(state.error());
    if (*state == State::kDone) return client;
  }
}

Result<void> Client::start(Work work) {
  out_.clear();
  conversation_->start(work, out_);
  return send_out();
}

Result<void> Client::send_out() {
  std::size_t sent = 0;
  while (sent < out_.size()) {
    const auto bytes = ::send(fd_, out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return system_error("send");
    sent += static_cast<std::size_t>(bytes);
  }
  return {};
}

Result<Client::State> Client::receive(Wait wait) {
  if (begin_ > 0) {
    std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  if (end_ == in_.size()) in_.resize(2 * in_.size());
  const auto bytes = ::recv(fd_, in_.data() + end_, in_.size() - end_, wait == Wait::kYes ? 0 : MSG_DONTWAIT);
  if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) return State::kUnderWay;
  if (bytes < 0) return system_error("recv");
  if (bytes == 0) return fail(Error(Errc::kIo, "the server has closed the connection"));
  end_ += static_cast<std::size_t>(bytes);
  return look_at_input();
}

Result<Client::State> Client::look_at_input() {
  for (;;) {
    out_.clear();
    const auto step = conversation_->on_input(std::string_view(in_).substr(begin_, end_ - begin_), out_);
    begin_ += step.consumed;
    switch (step.kind) {
      case Step::Kind::kMore:
        return State::kUnderWay;
      case Step::Kind::kDone:
        if (begin_ != end_) return fail(Error(Errc::kIo, "more bytes than the answer has"));
        return State::kDone;
      case Step::Kind::kFailed:
        return fail(Error(Errc::kIo, conversation_->failure()));
      case Step::Kind::kSend:
        if (auto sent = send_out(); !sent) return fail(sent.error());
        if (begin_ == end_) return State::kUnderWay;
        break;
    }
  }
}

}  // namespace qh::bench
