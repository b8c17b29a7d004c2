// bench/peers/generator/client.h - a TCP connection on loopback with its conversation.
//
// Errors   of the system, and answers that were not expected, as kIo with a text.
// Threads  one at a time.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "bench/peers/generator/conversation.h"

namespace qh::bench {

class Client {
 public:
  /// Connects and says what the protocol says first; returns when the first piece of work may be sent.
  static Result<std::unique_ptr<Client>> connect(std::uint16_t port, std::unique_ptr<Conversation> conversation);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  int fd() const { return fd_; }

  /// Sends the first request of a piece of work. It fits into the socket's buffer, as nothing else is under way.
  Result<void> start(Work work);

  enum class Wait : std::uint8_t { kYes, kNo };
  enum class State : std::uint8_t { kUnderWay, kDone };
  /// One receive, and what follows from it. kNo: kUnderWay also when nothing has come.
  Result<State> receive(Wait wait);

 private:
  Client(int fd, std::unique_ptr<Conversation> conversation) : fd_(fd), conversation_(std::move(conversation)) {}
  Result<void> send_out();
  Result<State> look_at_input();

  int fd_;
  std::unique_ptr<Conversation> conversation_;
  std::string out_;
  std::string in_ = std::string(std::size_t{16} << 10, '\0');  ///< grows to the largest answer
  std::size_t begin_ = 0, end_ = 0;                            ///< what has come and is not consumed
};

}  // namespace qh::bench
