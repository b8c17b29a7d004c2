// bench/peers/generator/binary.cpp - ours: the binary codec (docs/formats/rpc-binary.md), typed bodies. A message is
// Gossip of kMessageBytes with durability sync; a take is qssh_popMessage, several in one request qssh_popBatch.
#include "bench/peers/generator/conversation.h"
#include "queue/message.h"
#include "rpc/binary_body.h"

namespace qh::bench {
namespace {

using namespace rpc::binary;  // NOLINT(google-build-using-namespace): the codec is what this file is about

std::string_view text_of(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

class Binary final : public Conversation {
 public:
  explicit Binary(unsigned messages) : messages_(messages) {
    const auto text = message_body();
    const auto data = bytes_of(text);
    const auto gossip = queue::encode(queue::Gossip{"bench", Bytes(data.begin(), data.end())}).value();
    if (messages == 1) {
      put_request(put_, 1, Submit{.message = gossip, .durability = queue::Durability::kSync});
      put_request(take_, 1, Pop{});
    } else {
      const std::vector<Submit> all(messages, Submit{.message = gossip});
      put_request(put_, 1, SubmitBatch{.messages = all, .durability = queue::Durability::kSync});
      put_request(take_, 1, PopBatch{.max = messages});
    }
  }

  bool open(std::string& out) override {
    Bytes preface;
    put_preface(preface);
    out += text_of(preface);
    greeted_ = false;
    return true;
  }

  void start(Work work, std::string& out) override {
    work_ = work;
    greeted_ = true;
    out += text_of(work == Work::kPut ? put_ : take_);
  }

  Step on_input(std::string_view in, std::string& /*out*/) override {
    if (!greeted_) return greeting(in);
    const auto frame = parse_frame(bytes_of(in), From::kServer);
    if (frame.state == Frame::State::kNeedsMore) return {Step::Kind::kMore, 0};
    if (frame.state == Frame::State::kBroken) return failed("a broken frame", frame.why);
    if (!is_good(frame)) return failed("an answer of " + std::to_string(frame.body.size()) + " bytes", reason(frame));
    return {Step::Kind::kDone, frame.wire_bytes()};
  }

 private:
  Step greeting(std::string_view in) {
    const auto preface = parse_preface(bytes_of(in));
    if (preface.state == Preface::State::kNeedsMore) return {};
    if (preface.state == Preface::State::kForeign || preface.version != kVersion) return failed("preface", in);
    return {Step::Kind::kDone, kPrefaceBytes};
  }

  bool is_good(const Frame& frame) const {
    if (frame.header.kind != rpc::binary::Kind::kResult) return false;
    // An empty queue answers with nothing; a message has its body.
    if (work_ == Work::kTake) return frame.body.size() > std::size_t{messages_} * kMessageBytes;
    if (messages_ > 1) {
      const auto ids = read_message_ids(frame.body);
      return ids && ids->size() == messages_;
    }
    const auto submitted = read_submitted(frame.body);
    return submitted && submitted->persisted && !submitted->duplicate;
  }

  static std::string reason(const Frame& frame) {
    const auto error = read_error(frame.body);
    return error ? std::string(error->message) : "no message, or none that is durable";
  }

  unsigned messages_;
  Bytes put_, take_;
  Work work_ = Work::kPut;
  bool greeted_ = false;
};

}  // namespace

std::unique_ptr<Conversation> make_binary(unsigned messages) { return std::make_unique<Binary>(messages); }

}  // namespace qh::bench
