// bench/peers/generator/redis.cpp - RPUSH and LPOP in RESP2, one message a request or several.
#include <charconv>
#include <optional>

#include "bench/peers/generator/conversation.h"

namespace qh::bench {
namespace {

void append_bulk(std::string& out, std::string_view word) {
  out.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
}

/// A line `<type><number>\r\n` at the start of `in`.
struct Head {
  char type = 0;
  std::int64_t number = 0;
  std::size_t bytes = 0;
};

std::optional<Head> read_head(std::string_view in) {
  const auto end = in.find("\r\n");
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  Head head{in[0], 0, end + 2};
  std::from_chars(in.data() + 1, in.data() + end, head.number);
  return head;
}

class Redis final : public Conversation {
 public:
  explicit Redis(unsigned messages) : messages_(messages) {
    const auto body = message_body();
    put_.append("*").append(std::to_string(2 + messages)).append("\r\n");
    append_bulk(put_, "RPUSH");
    append_bulk(put_, "queue");
    for (unsigned i = 0; i < messages; ++i) append_bulk(put_, body);
    take_.append(messages == 1 ? "*2\r\n" : "*3\r\n");
    append_bulk(take_, "LPOP");
    append_bulk(take_, "queue");
    if (messages > 1) append_bulk(take_, std::to_string(messages));
  }

  void start(Work work, std::string& out) override {
    work_ = work;
    out += work == Work::kPut ? put_ : take_;
  }

  Step on_input(std::string_view in, std::string& /*out*/) override {
    const auto head = read_head(in);
    if (!head) return {};
    if (work_ == Work::kPut) {
      if (head->type != ':') return failed("RPUSH", in);
      return {Step::Kind::kDone, head->bytes};
    }
    if (messages_ == 1) return bulks(in, 0, 1);
    if (head->type != '*' || head->number != messages_) return failed("LPOP", in);
    return bulks(in, head->bytes, messages_);
  }

 private:
  /// `count` messages from `at` on. Begins anew with each piece of an answer: one comes in few pieces.
  Step bulks(std::string_view in, std::size_t at, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      const auto head = read_head(in.substr(at));
      if (!head) return {};
      if (head->type != '$' || head->number != kMessageBytes) return failed("LPOP", in.substr(at));
      at += head->bytes + kMessageBytes + 2;
      if (at > in.size()) return {};
    }
    return {Step::Kind::kDone, at};
  }

  unsigned messages_;
  std::string put_, take_;
  Work work_ = Work::kPut;
};

}  // namespace

std::unique_ptr<Conversation> make_redis(unsigned messages) { return std::make_unique<Redis>(messages); }

}  // namespace qh::bench
