// bench/peers/generator/conversation.h - one connection's side of a protocol, without I/O: it gives the bytes of
// requests and consumes those of answers, however they come apart. Both generators drive every protocol through it.
//
// Units    bytes of the wire; messages are those of kMessageBytes.
// Errors   an answer that is not the one expected, an empty queue included, ends the conversation: failure() says it.
// Threads  one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace qh::bench {

inline constexpr std::size_t kMessageBytes = 256;

enum class Work : std::uint8_t { kPut, kTake };

struct Step {
  enum class Kind : std::uint8_t {
    kMore,    ///< the answer is not whole yet
    kSend,    ///< a further part of the same piece of work is in `out`
    kDone,    ///< answered, durably where the server was told so
    kFailed,  ///< see failure()
  };
  Kind kind = Kind::kMore;
  std::size_t consumed = 0;  ///< bytes of the input that are not given again
};

class Conversation {
 public:
  virtual ~Conversation() = default;

  /// Appends what a new connection says first. False: nothing, and no on_input() is due.
  virtual bool open(std::string& /*out*/) { return false; }

  /// Appends the first request of one piece of work.
  virtual void start(Work work, std::string& out) = 0;

  /// `in` begins with the first byte that was not consumed. Not called after kDone before the next start().
  virtual Step on_input(std::string_view in, std::string& out) = 0;

  /// Of the last kFailed, for people.
  const std::string& failure() const { return failure_; }

 protected:
  Step failed(std::string_view what, std::string_view answer) {
    failure_ = std::string(what) + ": " + std::string(answer.substr(0, 300));
    return {Step::Kind::kFailed, 0};
  }

 private:
  std::string failure_;
};

// `messages`: how many one piece of work puts or takes; from 1, at most kBatchMax, beanstalkd and PostgreSQL 1.
inline constexpr unsigned kBatchMax = 1000;
std::unique_ptr<Conversation> make_redis(unsigned messages);
std::unique_ptr<Conversation> make_beanstalkd();
std::unique_ptr<Conversation> make_postgres();
std::unique_ptr<Conversation> make_http(unsigned messages);
std::unique_ptr<Conversation> make_binary(unsigned messages);

/// By the name that --protocol has; nothing for an unknown one, or where it has no batches.
std::unique_ptr<Conversation> make_conversation(std::string_view protocol, unsigned messages);

/// What every message carries. Letters only: no protocol has to escape it.
std::string message_body();

}  // namespace qh::bench
