// bench/peers/generator/beanstalkd.cpp - put; and a take is a reserve, which stores nothing, and a delete, which is on
// disk before its answer.
#include <charconv>

#include "bench/peers/generator/conversation.h"

namespace qh::bench {
namespace {

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

class Beanstalkd final : public Conversation {
 public:
  Beanstalkd() : put_("put 0 0 120 " + std::to_string(kMessageBytes) + "\r\n" + message_body() + "\r\n") {}

  void start(Work work, std::string& out) override {
    waits_for_ = work == Work::kPut ? Answer::kInserted : Answer::kReserved;
    // Answered at once, also when there is nothing: a message that is missing must not look like a slow server.
    out += work == Work::kPut ? std::string_view(put_) : std::string_view("reserve-with-timeout 0\r\n");
  }

  Step on_input(std::string_view in, std::string& out) override {
    const auto end = in.find("\r\n");
    if (end == std::string_view::npos) return {};
    const auto line = in.substr(0, end);
    switch (waits_for_) {
      case Answer::kInserted:
        if (!starts(line, "INSERTED ")) return failed("put", line);
        return {Step::Kind::kDone, end + 2};
      case Answer::kReserved:
        return reserved(in, line, out);
      case Answer::kDeleted:
        if (line != "DELETED") return failed("delete", line);
        return {Step::Kind::kDone, end + 2};
    }
    return {};
  }

 private:
  enum class Answer : std::uint8_t { kInserted, kReserved, kDeleted };

  /// `RESERVED <id> <bytes>`, then the body.
  Step reserved(std::string_view in, std::string_view line, std::string& out) {
    if (!starts(line, "RESERVED ")) return failed("reserve", line);
    const auto rest = line.substr(9);
    const auto space = rest.find(' ');
    std::size_t bytes = 0;
    if (space != std::string_view::npos) std::from_chars(rest.data() + space + 1, rest.data() + rest.size(), bytes);
    if (bytes != kMessageBytes) return failed("reserve", line);
    const auto whole = line.size() + 2 + bytes + 2;
    if (in.size() < whole) return {};
    out.append("delete ").append(rest.substr(0, space)).append("\r\n");
    waits_for_ = Answer::kDeleted;
    return {Step::Kind::kSend, whole};
  }

  std::string put_;
  Answer waits_for_ = Answer::kInserted;
};

}  // namespace

std::unique_ptr<Conversation> make_beanstalkd() { return std::make_unique<Beanstalkd>(); }

}  // namespace qh::bench
