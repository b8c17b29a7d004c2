// bench/peers/generator/http.cpp - ours: JSON-RPC over HTTP, kept alive. A message is Gossip of kMessageBytes with
// durability sync; a take is qssh_popMessage, several in one request qssh_popBatch.
#include <cctype>
#include <charconv>
#include <optional>

#include "bench/peers/generator/conversation.h"

namespace qh::bench {
namespace {

std::string hex_body() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex = "0x";
  for (const auto letter : message_body()) {
    hex += kDigits[static_cast<unsigned char>(letter) >> 4];
    hex += kDigits[static_cast<unsigned char>(letter) & 15];
  }
  return hex;
}

std::string post(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string call(std::string_view method, const std::string& params) {
  return R"({"jsonrpc":"2.0","method":")" + std::string(method) + R"(","params":)" + params + R"(,"id":1})";
}

std::string several(const std::string& item, unsigned count) {
  std::string list = "[";
  for (unsigned i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + item;
  return list + "]";
}

/// How many bytes the whole answer has, by its head; nothing while that is not whole, 0 when it has no length.
struct Head {
  bool ok = false;  ///< 200
  std::size_t bytes = 0, length = 0;
};

std::optional<Head> read_head(std::string_view in) {
  const auto end = in.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const auto head = in.substr(0, end);
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  Head read{head.substr(0, 13) == "HTTP/1.1 200 ", end + 4, 0};
  const auto at = head.find(kLength);
  if (at == std::string_view::npos) return Head{};
  std::from_chars(head.data() + at + kLength.size(), head.data() + head.size(), read.length);
  return read;
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

class Http final : public Conversation {
 public:
  explicit Http(unsigned messages) : messages_(messages) {
    const auto message = R"({"Gossip":{"topic":"bench","data":")" + hex_body() + R"("}})";
    if (messages == 1) {
      put_ = post(call("qssh_submitMessage", R"({"message":)" + message + R"(,"durability":"sync"})"));
      take_ = post(call("qssh_popMessage", "[]"));
    } else {
      put_ =
          post(call("qssh_submitBatch", R"({"messages":)" + several(message, messages) + R"(,"durability":"sync"})"));
      take_ = post(call("qssh_popBatch", R"({"max":)" + std::to_string(messages) + "}"));
    }
  }

  void start(Work work, std::string& out) override {
    work_ = work;
    out += work == Work::kPut ? put_ : take_;
  }

  Step on_input(std::string_view in, std::string& /*out*/) override {
    const auto head = read_head(in);
    if (!head) return {};
    if (!head->ok) return failed("HTTP", in);
    if (in.size() < head->bytes + head->length) return {};
    const auto body = in.substr(head->bytes, head->length);
    if (!answers(body)) return failed("JSON-RPC", body);
    return {Step::Kind::kDone, head->bytes + head->length};
  }

 private:
  /// No JSON parser: the generator shares the machine with what it measures. Bodies are hex, so no value can look
  /// like one of these names.
  bool answers(std::string_view body) const {
    if (work_ == Work::kTake) return count_of(body, R"("message_id":)") == messages_;
    if (messages_ == 1) return count_of(body, R"("persisted":true,"duplicate":false)") == 1;
    return count_of(body, R"("message_ids":[)") == 1 && count_of(body, ",") == messages_ + 1;
  }

  unsigned messages_;
  std::string put_, take_;
  Work work_ = Work::kPut;
};

}  // namespace

std::unique_ptr<Conversation> make_http(unsigned messages) { return std::make_unique<Http>(messages); }

}  // namespace qh::bench
