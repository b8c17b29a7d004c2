#include "rpc/binary_link.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/overloaded.h"
#include "queue/json_text.h"
#include "queue/message_json.h"
#include "rpc/binary_body.h"
#include "rpc/calls.h"
#include "rpc/frame.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using binary::Frame;
using binary::Header;
using binary::Preface;

constexpr std::string_view kForeignWord =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    "this port speaks the binary RPC of docs/formats/rpc-binary.md; JSON-RPC over HTTP is on the validator's own "
    "port\n";

void put_outcome(Bytes& out, Outcome outcome, bool as_json) {
  if (as_json) {
    std::string text;
    queue::write_json(to_json(std::move(outcome)), text);
    const auto bytes = as_bytes(text);
    out.insert(out.end(), bytes.begin(), bytes.end());
    return;
  }
  std::visit(overloaded{[&](const json::value&) { INVARIANT(false, "a typed call has a typed result"); },
                        [&](const auto& typed) { binary::put_body(out, typed); }},
             outcome);
}

void put_failure(Bytes& out, std::uint64_t id, std::uint16_t method, const Failure& failure) {
  binary::FrameWriter frame(out, {.id = id, .method = method, .kind = binary::Kind::kError});
  const auto data = write_failure_data(failure);
  binary::put_body(out, binary::RemoteError{static_cast<int>(failure.code), failure.message, data});
  frame.finish();
}

Failure unknown_number(std::uint16_t number) {
  return Failure(Code::kMethodNotFound, "there is no method with the number " + std::to_string(number))
      .with("method", number);
}

Failure broken(const Frame& frame) {
  auto text = "the stream ends here: " + std::string(frame.why);
  if (frame.header.body_bytes <= binary::kRequestBodyBytesMax) return Failure(Code::kInvalidRequest, std::move(text));
  return Failure(Code::kTooLarge, std::move(text))
      .with("limit", binary::kRequestBodyBytesMax)
      .with("size", frame.header.body_bytes);
}

}  // namespace

class BinaryLink::Impl final : public Replies, public std::enable_shared_from_this<Impl> {
 public:
  Impl(Calls& calls, Caller caller, UniqueFunction<void()> answered)
      : calls_(&calls), caller_(std::move(caller)), answered_(std::move(answered)) {}

  std::size_t take(ByteView in) {
    std::size_t taken = 0;
    if (!greeted_) taken = greet(in);
    bool any = false;
    while (greeted_ && !ended && !full()) {
      const auto frame = binary::parse_frame(in.subspan(taken), binary::From::kClient);
      if (frame.state == Frame::State::kNeedsMore) break;
      if (frame.state == Frame::State::kBroken) {
        end_broken(frame);
        break;
      }
      start(frame);
      taken += frame.wire_bytes();
      any = true;
    }
    if (any) calls_->touched();
    return ended ? in.size() : taken;
  }

  bool full() const { return open >= kOpenCallsMax || out.size() >= kUnsentBytesMax; }

  std::size_t cancel_ahead(ByteView in, std::size_t from) {
    for (;;) {
      const auto frame = binary::parse_frame(in.subspan(from), binary::From::kClient);
      if (frame.state != Frame::State::kFrame) return from;
      if (frame.header.kind == binary::Kind::kCancel) cancel(frame.header.id);
      from += frame.wire_bytes();
    }
  }

  void hand_out_no_more() { caller_.gone = true; }

  void abandon() {
    for (std::size_t i = 0; i < pending_.size(); ++i) {  // NOLINT(modernize-loop-convert): an answer may add to it
      // Cancelling answers the call, which changes its place.
      if (const auto wait = pending_[i].wait) calls_->services.engine.cancel(*wait);
    }
  }

  /// From now on whatever comes is for nobody.
  void close() {
    closed_ = true;
    abandon();
    for (auto& one : pending_) {
      if (one.timer != 0) calls_->services.timers.cancel(std::exchange(one.timer, 0));
    }
    calls_ = nullptr;
    answered_ = nullptr;
  }

  void ok(Slot slot, Outcome outcome) override {
    auto* one = find(slot);
    if (one == nullptr) return;
    Header header{.id = one->id, .method = one->method, .kind = binary::Kind::kResult};
    if (one->as_json) header.flags = binary::kFlagJson;
    const auto before = out.size();
    binary::FrameWriter frame(out, header);
    put_outcome(out, std::move(outcome), one->as_json);
    frame.finish();
    release(*one, before);
  }

  void fail(Slot slot, const Failure& failure) override {
    auto* one = find(slot);
    if (one == nullptr) return;
    const auto before = out.size();
    put_failure(out, one->id, one->method, failure);
    release(*one, before);
  }

  void waits(Slot slot, queue::Engine::WaitId wait) override {
    if (auto* one = find(slot)) one->wait = wait;
  }

  void at_the_latest(Slot slot, Duration delay, Failure failure) override {
    auto* one = find(slot);
    if (one == nullptr) return;
    one->timer = calls_->services.timers.start(
        delay, [self = shared_from_this(), slot, failure = std::move(failure)] { self->too_late(slot, failure); });
  }

  Bytes out;
  std::size_t open = 0;
  bool ended = false;

 private:
  /// The place of a call while it is under way. The next one that has it has another turn, so that an answer which
  /// comes too late finds nobody.
  struct Pending {
    std::uint64_t id = 0;
    std::uint16_t method = 0;
    bool as_json = false;
    bool open = false;
    std::uint32_t turn = 0;
    std::optional<queue::Engine::WaitId> wait;
    Timers::Id timer = 0;
  };

  std::size_t greet(ByteView in) {
    const auto preface = binary::parse_preface(in);
    if (preface.state == Preface::State::kNeedsMore) return 0;
    if (preface.state == Preface::State::kForeign) {
      const auto word = as_bytes(kForeignWord);
      out.insert(out.end(), word.begin(), word.end());
      ended = true;
    } else {
      greeted_ = preface.version == binary::kVersion;
      ended = !greeted_;
      binary::put_preface(out);
    }
    answered_();
    return binary::kPrefaceBytes;
  }

  /// Nobody can say whether the peer would still take what a wait gets. What cannot be undone is answered first.
  void end_broken(const Frame& frame) {
    ended = true;
    abandon();
    put_failure(last_word_, frame.header.id, frame.header.method, broken(frame));
    if (open == 0) say_last_word();
  }

  void say_last_word() {
    const bool was_empty = out.empty();
    out.insert(out.end(), last_word_.begin(), last_word_.end());
    last_word_.clear();
    if (was_empty) answered_();
  }

  void start(const Frame& frame) {
    const auto& header = frame.header;
    if (header.kind == binary::Kind::kCancel) return cancel(header.id);
    const auto slot = place(header);
    Call call(calls_->services, caller_, Answer(shared_from_this(), slot));
    const auto* method = find_method(header.method);
    if (!calls_->has(method)) return fail(slot, unknown_number(header.method));
    if (const auto refusal = calls_->refusal(*method, caller_)) return fail(slot, *refusal);
    if (!header.json()) {
      if (!method->typed)
        return fail(slot, bad_parameter("params",
                                        std::string(method->name) + " has no typed form: call it with JSON (flag 1)"));
      if (const auto bad = bind_typed(*method, frame.body, call.arguments)) return fail(slot, *bad);
      return method->run(call);
    }
    run_json(*method, frame.body, call);
  }

  static void run_json(const Method& method, ByteView body, Call& call) {
    if (body.empty()) {
      if (const auto bad = bind(method, nullptr, call.arguments)) return call.answer.fail(*bad);
      return method.run(call);
    }
    const auto params = queue::parse_json(as_text(body));
    if (!params) return call.answer.fail(unreadable(params.error()));
    if (!params->is_structured())
      return call.answer.fail(
          invalid_request("params", "expected an array or an object, got " + queue::describe_json(*params)));
    if (const auto bad = bind(method, &*params, call.arguments)) return call.answer.fail(*bad);
    method.run(call);
  }

  void cancel(std::uint64_t id) {
    for (std::size_t i = 0; i < pending_.size(); ++i) {  // NOLINT(modernize-loop-convert): an answer may add to it
      if (!pending_[i].open || pending_[i].id != id) continue;
      if (const auto wait = pending_[i].wait) calls_->services.engine.cancel(*wait);
    }
  }

  void too_late(Slot slot, const Failure& failure) {
    if (auto* one = find(slot)) one->timer = 0;
    fail(slot, failure);
  }

  Slot place(const Header& header) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(pending_.size()));
      pending_.emplace_back();
    }
    const auto at = free_.back();
    free_.pop_back();
    auto& one = pending_[at];
    one.id = header.id;
    one.method = header.method;
    one.as_json = header.json();
    one.open = true;
    ++open;
    return std::uint64_t{one.turn} << 32U | at;
  }

  /// nullptr when it was answered already, or nobody is there any more.
  Pending* find(Slot slot) {
    if (closed_) return nullptr;
    auto& one = pending_[static_cast<std::uint32_t>(slot)];
    return one.open && one.turn == slot >> 32U ? &one : nullptr;
  }

  void release(Pending& one, std::size_t out_before) {
    if (one.timer != 0) calls_->services.timers.cancel(std::exchange(one.timer, 0));
    one.wait.reset();
    one.open = false;
    ++one.turn;
    --open;
    free_.push_back(static_cast<std::uint32_t>(&one - pending_.data()));
    if (!last_word_.empty() && open == 0) say_last_word();
    if (out_before == 0) answered_();
  }

  Calls* calls_;
  Caller caller_;
  UniqueFunction<void()> answered_;
  std::vector<Pending> pending_;
  std::vector<std::uint32_t> free_;
  Bytes last_word_;  ///< about what is broken, while calls are under way
  bool greeted_ = false;
  bool closed_ = false;
};

BinaryLink::BinaryLink(Dispatcher& dispatcher, Caller caller, UniqueFunction<void()> answered)
    : impl_(std::make_shared<Impl>(dispatcher.calls(), std::move(caller), std::move(answered))) {}
BinaryLink::~BinaryLink() { impl_->close(); }

std::size_t BinaryLink::take(ByteView in) { return impl_->take(in); }
std::size_t BinaryLink::wanted(ByteView in) {
  const auto frame = binary::parse_frame(in, binary::From::kClient);
  return in.size() < binary::kHeaderBytes ? binary::kHeaderBytes : frame.wire_bytes();
}
Bytes& BinaryLink::out() { return impl_->out; }
bool BinaryLink::full() const { return impl_->full(); }
bool BinaryLink::ended() const { return impl_->ended; }
std::size_t BinaryLink::open_calls() const { return impl_->open; }
std::size_t BinaryLink::cancel_ahead(ByteView in, std::size_t from) { return impl_->cancel_ahead(in, from); }
void BinaryLink::abandon() { impl_->abandon(); }
void BinaryLink::hand_out_no_more() { impl_->hand_out_no_more(); }

}  // namespace qh::rpc
