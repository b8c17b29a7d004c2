#include "rpc/dispatcher.h"

#include <algorithm>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "queue/json_text.h"
#include "queue/message_json.h"
#include "rpc/calls.h"
#include "rpc/exchange.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

/// A request as it stands in the body, before its method is known.
struct Request {
  std::string id = "null";  ///< JSON text
  bool notification = false;
  std::string_view method;
  const json::value* params = nullptr;
};

/// The id as it was written; nothing if it is none.
std::optional<std::string> id_text(const json::value& id, const std::string* as_written) {
  if (!id.is_null() && !id.is_string() && !id.is_number()) return std::nullopt;
  return as_written != nullptr ? *as_written : queue::write_json(id);
}

/// The path of a member that the call names twice. Which of two ids it has is not clear.
std::optional<std::string> find_twice(const queue::JsonNotes& notes, std::size_t element, bool& id_is_clear) {
  std::optional<std::string> path;
  for (const auto& note : std::ranges::equal_range(notes.twice, element, {}, &queue::JsonNotes::Note::element)) {
    if (!path) path = note.text;
    if (note.text == "id") id_is_clear = false;
  }
  return path;
}

std::optional<Failure> read_request(const json::value& v, std::size_t element, const queue::JsonNotes& notes,
                                    Request& request) {
  if (!v.is_object()) return invalid_request("", "expected a request object, got " + queue::describe_json(v));
  const auto& object = v.get_object();
  bool id_is_clear = true;
  const auto twice = notes.twice.empty() ? std::nullopt : find_twice(notes, element, id_is_clear);
  const auto* id = object.if_contains("id");
  if (id != nullptr && id_is_clear) {
    auto text = id_text(*id, queue::JsonNotes::find(notes.ids, element));
    if (!text) return invalid_request("id", "expected a string, a number or null, got " + queue::describe_json(*id));
    request.id = std::move(*text);
  }
  if (twice) return invalid_request(*twice, "the member is given twice");
  const auto* version = object.if_contains("jsonrpc");
  if (version == nullptr || !version->is_string() || version->get_string() != "2.0") {
    return invalid_request("jsonrpc", "expected \"2.0\"");
  }
  const auto* method = object.if_contains("method");
  if (method == nullptr || !method->is_string()) return invalid_request("method", "expected the name of a method");
  request.method = method->get_string();
  request.params = object.if_contains("params");
  if (request.params != nullptr && !request.params->is_structured()) {
    const auto* hint = request.params->is_null() ? "; for none leave params out" : "";
    return invalid_request("params",
                           "expected an array or an object, got " + queue::describe_json(*request.params) + hint);
  }
  request.notification = id == nullptr;
  return std::nullopt;
}

/// One that this run does not have.
Failure absent_method(const Method& method) {
  const std::string why = method.needs == Needs::kFaults ? "only runs that ask for it have it: --allow-faults"
                                                         : "there is no node around it";
  Failure failure(Code::kMethodNotFound, std::string(method.name) + " is not there: " + why);
  failure.data.emplace("method", method.name);
  return failure;
}

Failure unknown_method(std::string_view name) {
  const auto meant = nearest_method(name);
  const auto hint = meant ? " (did you mean " + std::string(*meant) + "?)" : std::string();
  Failure failure(Code::kMethodNotFound, "there is no method " + std::string(name) + hint);
  failure.data.emplace("method", name);
  if (meant) failure.data.emplace("did_you_mean", *meant);
  return failure;
}

/// `bytes`: of the answers to the calls before.
Failure answer_too_large(const Method& method, std::uint64_t bytes) {
  return Failure(Code::kTooLarge, "the answers to this batch are over " + std::to_string(kAnswerBytesMax >> 20) +
                                      " MiB without this one, so " + std::string(method.name) +
                                      " was not carried out: call it in a request of its own")
      .with("limit", static_cast<std::int64_t>(kAnswerBytesMax))
      .with("size", static_cast<std::int64_t>(bytes));
}

}  // namespace

class Dispatcher::Impl {
 public:
  explicit Impl(Services s) : calls{.services = std::move(s)} {}
  ~Impl() {
    for (auto& [id, exchange] : open) {
      exchange->done = nullptr;
      for (auto& slot : exchange->slots) {
        if (slot.timer != 0) calls.services.timers.cancel(std::exchange(slot.timer, 0));
      }
    }
  }

  CallId handle(std::string_view body, const Caller& caller, Reply reply) {
    queue::JsonNotes notes;
    const auto parsed = queue::parse_json(body, notes);
    if (!parsed) return refuse(unreadable(parsed.error()), reply);
    const bool batch = parsed->is_array();
    if (batch && parsed->get_array().empty())
      return refuse(invalid_request("", "expected at least one call in a batch"), reply);
    if (batch && parsed->get_array().size() > kBatchCallsMax) {
      auto failure = invalid_request("", "expected at most " + std::to_string(kBatchCallsMax) + " calls in a batch");
      return refuse(std::move(failure).with("limit", static_cast<std::int64_t>(kBatchCallsMax)), reply);
    }
    const std::span<const json::value> elements =
        batch ? std::span<const json::value>(parsed->get_array().data(), parsed->get_array().size())
              : std::span<const json::value>(&*parsed, 1);

    const auto exchange = std::make_shared<Exchange>();
    exchange->slots.resize(elements.size());
    exchange->open = elements.size() + 1;  // ours is the last to go, so that no reply comes before all are started
    exchange->batch = batch;
    exchange->timers = &calls.services.timers;
    exchange->held = held;
    exchange->done = std::move(reply);
    for (std::size_t i = 0; i < elements.size(); ++i) start(elements[i], i, notes, caller, exchange);
    exchange->close_one();
    calls.touched();
    if (exchange->open == 0) return 0;
    return remember(exchange);
  }

  void abandon(CallId call) {
    const auto found = open.find(call);
    if (found == open.end()) return;
    const auto exchange = found->second;
    for (const auto& slot : exchange->slots) {
      // Cancelling answers the slot, which changes it.
      if (const auto wait = slot.wait) calls.services.engine.cancel(*wait);
    }
  }

  Calls calls;
  std::shared_ptr<std::uint64_t> held = std::make_shared<std::uint64_t>(0);
  std::unordered_map<CallId, std::shared_ptr<Exchange>> open;

 private:
  static CallId refuse(const Failure& failure, Reply& reply) {
    reply(write_failure(failure, "null"));
    return 0;
  }

  void start(const json::value& v, std::size_t element, const queue::JsonNotes& notes, const Caller& caller,
             const std::shared_ptr<Exchange>& exchange) {
    Request request;
    const auto invalid = read_request(v, element, notes, request);
    auto& slot = exchange->slots[element];
    slot.id = std::move(request.id);
    slot.notification = request.notification;
    Call call(calls.services, caller, Answer(exchange, element));
    if (invalid) return call.answer.fail(*invalid);
    const auto* method = find_method(request.method);
    if (method == nullptr) return call.answer.fail(unknown_method(request.method));
    if (!calls.has(method)) return call.answer.fail(absent_method(*method));
    if (const auto refusal = calls.refusal(*method, caller)) return call.answer.fail(*refusal);
    if (const auto bad = bind(*method, request.params, call.arguments)) return call.answer.fail(*bad);
    // Before it is carried out: what is done is told.
    if (!request.notification && exchange->batch) {
      if (exchange->bytes >= kAnswerBytesMax) return call.answer.fail(answer_too_large(*method, exchange->bytes));
      if (method->answer_bytes != nullptr) exchange->expect(element, method->answer_bytes(call));
    }
    method->run(call);
  }

  CallId remember(const std::shared_ptr<Exchange>& exchange) {
    const CallId id = ++last_id_;
    open.emplace(id, exchange);
    exchange->done = [this, id, reply = std::move(exchange->done)](std::string text) mutable {
      auto answer = std::move(reply);
      open.erase(id);
      answer(std::move(text));
    };
    return id;
  }

  CallId last_id_ = 0;
};

Dispatcher::Dispatcher(Services services) : impl_(std::make_unique<Impl>(std::move(services))) {}
Dispatcher::~Dispatcher() = default;

Dispatcher::CallId Dispatcher::handle(std::string_view body, const Caller& caller, Reply reply) {
  return impl_->handle(body, caller, std::move(reply));
}
void Dispatcher::abandon(CallId call) { impl_->abandon(call); }
void Dispatcher::begin_stop() { impl_->calls.stopping = true; }
Calls& Dispatcher::calls() { return impl_->calls; }
std::uint64_t Dispatcher::held_bytes() const { return *impl_->held; }
std::uint64_t Dispatcher::held_bytes(CallId call) const {
  const auto found = impl_->open.find(call);
  return found == impl_->open.end() ? 0 : found->second->held_here;
}
std::size_t Dispatcher::open_calls() const { return impl_->open.size(); }

}  // namespace qh::rpc
