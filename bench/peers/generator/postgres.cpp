// bench/peers/generator/postgres.cpp - PostgreSQL's protocol 3.0 by hand: two prepared statements, binary parameters,
// one transaction a request. libpq would do the same over more calls, and would bring its own sockets.
#include "bench/peers/generator/conversation.h"

namespace qh::bench {
namespace {

constexpr std::string_view kInsert = "INSERT INTO queue (body) VALUES ($1)";
constexpr std::string_view kDelete =
    "DELETE FROM queue WHERE id = (SELECT id FROM queue ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING body";

std::string int16(std::uint32_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
std::string int32(std::uint32_t value) { return int16(value >> 16) + int16(value & 0xffff); }
std::string zero_ended(std::string_view text) { return std::string(text) + '\0'; }

/// Type, length of all but the type, body.
std::string frame(char type, const std::string& body) {
  return type + int32(static_cast<std::uint32_t>(body.size()) + 4) + body;
}

std::string parse(std::string_view name, std::string_view statement) {
  return frame('P', zero_ended(name) + zero_ended(statement) + int16(0));
}

/// Binds `parameter`, if there is one, in binary; asks for results in binary.
std::string bind(std::string_view name, const std::string* parameter) {
  std::string body = zero_ended("") + zero_ended(name);
  if (parameter != nullptr) {
    body += int16(1) + int16(1) + int16(1) + int32(static_cast<std::uint32_t>(parameter->size())) + *parameter;
  } else {
    body += int16(0) + int16(0);
  }
  return frame('B', body + int16(1) + int16(1));
}

std::string execute() { return frame('E', zero_ended("") + int32(0)); }
std::string sync() { return frame('S', ""); }

/// The fields of an ErrorResponse: a letter and a text each.
std::string error_text(std::string_view body) {
  std::string text;
  while (body.size() > 1) {
    const auto end = body.find('\0');
    if (end == std::string_view::npos) break;
    if (body[0] == 'M' || body[0] == 'C') text.append(body.substr(1, end - 1)).append(" ");
    body.remove_prefix(end + 1);
  }
  return text;
}

class Postgres final : public Conversation {
 public:
  Postgres() {
    const auto body = message_body();
    put_ = bind("put", &body) + execute() + sync();
    take_ = bind("take", nullptr) + execute() + sync();
  }

  bool open(std::string& out) override {
    const auto body = int32(3U << 16) + zero_ended("user") + zero_ended("bench") + zero_ended("database") +
                      zero_ended("postgres") + '\0';
    out += int32(static_cast<std::uint32_t>(body.size()) + 4) + body;
    state_ = State::kLogin;
    return true;
  }

  void start(Work work, std::string& out) override {
    expected_tag_ = work == Work::kPut ? "INSERT 0 1" : "DELETE 1";
    tag_seen_ = false;
    state_ = State::kWork;
    out += work == Work::kPut ? put_ : take_;
  }

  /// An answer is several messages and ends with ReadyForQuery; each is consumed as it is whole.
  Step on_input(std::string_view in, std::string& out) override {
    std::size_t at = 0;
    while (in.size() - at >= 5) {
      const auto length = length_at(in.substr(at + 1));
      if (length < 4) return failed("a message without a length", in.substr(at, 5));
      if (in.size() - at < 1 + length) break;
      const auto step = on_message(in[at], in.substr(at + 5, length - 4), out);
      at += 1 + length;
      if (step.kind == Step::Kind::kFailed) return step;
      if (step.kind != Step::Kind::kMore) return {step.kind, at};
    }
    return {Step::Kind::kMore, at};
  }

 private:
  enum class State : std::uint8_t { kLogin, kPrepare, kWork };

  static std::size_t length_at(std::string_view in) {
    std::size_t length = 0;
    for (unsigned i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(in[i]);
    return length;
  }

  Step on_message(char type, std::string_view body, std::string& out) {
    switch (type) {
      case 'E':
        return failed("PostgreSQL", error_text(body));
      case 'R':  // authentication: trusted, or asked for what we do not have
        if (body != int32(0)) return failed("PostgreSQL", "asks for a password");
        return {};
      case 'C':
        if (body != zero_ended(expected_tag_)) return failed("PostgreSQL", body);
        tag_seen_ = true;
        return {};
      case 'Z':
        return ready(out);
      default:
        return {};  // parameters, notices, ParseComplete, BindComplete, rows
    }
  }

  Step ready(std::string& out) {
    if (state_ == State::kLogin) {
      out += parse("put", kInsert) + parse("take", kDelete) + sync();
      state_ = State::kPrepare;
      return {Step::Kind::kSend, 0};
    }
    if (state_ == State::kWork && !tag_seen_) return failed("PostgreSQL", "ready, and nothing was done");
    return {Step::Kind::kDone, 0};
  }

  std::string put_, take_;
  std::string_view expected_tag_;
  bool tag_seen_ = false;
  State state_ = State::kLogin;
};

}  // namespace

std::unique_ptr<Conversation> make_postgres() { return std::make_unique<Postgres>(); }

}  // namespace qh::bench
