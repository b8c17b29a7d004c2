// Submitting.
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/message_json.h"
#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using queue::Submission;

Result<Bytes> body_of(const json::value& message) {
  const auto parsed = queue::message_from_json(message);
  if (!parsed) return fail(parsed.error());
  return queue::encode(*parsed);
}

std::optional<queue::Durability> durability_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return text == "sync" ? queue::Durability::kSync : queue::Durability::kAsync;
}

std::optional<WallTime> wall_time(const Arguments& arguments, std::string_view name) {
  const auto ms = arguments.integer(name);
  return ms ? std::optional(WallTime::from_ms(static_cast<std::int64_t>(*ms))) : std::nullopt;
}

/// `arguments` are those of qssh_submitMessage.
Result<Submission> submission_of(const Arguments& arguments, const Caller& caller) {
  auto body = body_of(*arguments.find("message"));
  if (!body) return fail(std::move(body.error()));
  Submission submission;
  submission.body = std::move(*body);
  submission.options.durability = durability_of(arguments.text("durability"));
  submission.options.submitted_by = caller.name;
  submission.options.idempotency_key = arguments.text("idempotency_key");
  submission.options.not_before = wall_time(arguments, "not_before_ms");
  submission.options.expires_at = wall_time(arguments, "expires_at_ms");
  return submission;
}

json::value submitted_json(const queue::Submitted& s) {
  json::object out;
  out.reserve(4);
  out.emplace("message_id", integer_json(s.id.value()));
  out.emplace("priority", queue::priority_name(queue::info(s.kind).priority));
  out.emplace("persisted", s.persisted);
  out.emplace("duplicate", s.duplicate);
  return out;
}

Failure in_element(Failure failure, std::size_t index) {
  const auto path = "messages[" + std::to_string(index) + "]";
  if (auto* field = failure.data.if_contains("field")) {
    const auto inner = std::string(std::string_view(field->get_string()));
    *field = json::value(path + (inner.empty() ? "" : ".") + inner);
  }
  failure.message = path + ": " + failure.message;
  return failure;
}

}  // namespace

void submit_message(Call& call) {
  auto submission = submission_of(call.arguments, call.caller);
  if (!submission) return call.answer.fail(submission.error());
  const auto keyed = !submission->options.idempotency_key.empty();
  const auto timeout = call.arguments.milliseconds("timeout_ms");
  const auto late = call.answer.another();
  call.engine().submit(std::move(*submission), answer_by<queue::Submitted>(call, submitted_json));
  if (!timeout) return;
  auto failure = Failure(Code::kTimeout, "not durable in the time given; it may still become so")
                     .with("outcome", "unknown")
                     .with("retry", keyed ? "repeat with the same idempotency_key"
                                          : "a repeat may store it twice; give an idempotency_key");
  late.at_the_latest(*timeout, std::move(failure));
}

void submit_batch(Call& call) {
  const auto& submit = *find_method("qssh_submitMessage");
  std::vector<Submission> submissions;
  const auto& messages = call.arguments.find("messages")->get_array();
  const auto durability = durability_of(call.arguments.text("durability"));
  submissions.reserve(messages.size());
  for (const auto& element : messages) {
    const auto index = submissions.size();
    Arguments arguments;
    auto failure = element.is_object() ? bind(submit, &element, arguments)
                                       : bad_parameter("", "expected an object, got " + queue::describe_json(element));
    if (!failure && arguments.has("timeout_ms"))
      failure = bad_parameter("timeout_ms", "is not for one message of a batch");
    if (failure) return call.answer.fail(in_element(std::move(*failure), index));
    auto submission = submission_of(arguments, call.caller);
    if (!submission) return call.answer.fail(in_element(failure_of(submission.error()), index));
    if (!submission->options.durability) submission->options.durability = durability;
    submissions.push_back(std::move(*submission));
  }
  call.engine().submit_batch(std::move(submissions),
                             answer_by<std::vector<queue::Submitted>>(call, [](std::vector<queue::Submitted> all) {
                               json::array ids;
                               ids.reserve(all.size());
                               for (const auto& one : all) ids.push_back(integer_json(one.id.value()));
                               return json::value(json::object{{"message_ids", std::move(ids)}});
                             }));
}

}  // namespace qh::rpc
