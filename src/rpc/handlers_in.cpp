// Submitting.
#include <utility>

#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

using queue::Submission;

std::optional<queue::Durability> durability_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return text == "sync" ? queue::Durability::kSync : queue::Durability::kAsync;
}

std::optional<WallTime> wall_time(const Arguments& arguments, std::string_view name) {
  const auto ms = arguments.integer(name);
  return ms ? std::optional(WallTime::from_ms(static_cast<std::int64_t>(*ms))) : std::nullopt;
}

/// `arguments` are those of qssh_submitMessage.
Result<void> read_submission(const Arguments& arguments, const Caller& caller, Submission& into) {
  if (auto message = arguments.message("message", into); !message) return message;
  auto& options = into.options;
  options.submitted_by = caller.name;
  if (arguments.count() == 1) return {};  // most have nothing else, and a batch has many of them
  options.durability = durability_of(arguments.text("durability"));
  options.idempotency_key = arguments.text("idempotency_key");
  options.not_before = wall_time(arguments, "not_before_ms");
  options.expires_at = wall_time(arguments, "expires_at_ms");
  return {};
}

std::vector<queue::MessageId> ids_of(const std::vector<queue::Submitted>& all) {
  std::vector<queue::MessageId> ids;
  ids.reserve(all.size());
  for (const auto& one : all) ids.push_back(one.id);
  return ids;
}

}  // namespace

void submit_message(Call& call) {
  Submission submission;
  if (auto read = read_submission(call.arguments, call.caller, submission); !read)
    return call.answer.fail(read.error());
  const auto keyed = !submission.options.idempotency_key.empty();
  const auto timeout = call.arguments.milliseconds("timeout_ms");
  const auto late = call.answer.another();
  call.engine().submit(std::move(submission), answer_by<queue::Submitted>(call));
  if (!timeout) return;
  auto failure = Failure(Code::kTimeout, "not durable in the time given; it may still become so")
                     .with("outcome", "unknown")
                     .with("retry", keyed ? "repeat with the same idempotency_key"
                                          : "a repeat may store it twice; give an idempotency_key");
  late.at_the_latest(*timeout, std::move(failure));
}

void submit_batch(Call& call) {
  const auto count = call.arguments.submissions("messages");
  if (const auto max = call.engine().options().max_batch_messages; count > max)
    return call.answer.fail(bad_parameter("messages", "expected an array of 1 to " + std::to_string(max) +
                                                          " messages, got an array of " + std::to_string(count)));
  std::vector<Submission> submissions;
  const auto durability = durability_of(call.arguments.text("durability"));
  submissions.reserve(count);
  const auto failure = call.arguments.each_submission("messages", [&](const Arguments& one) -> std::optional<Failure> {
    if (one.has("timeout_ms")) return bad_parameter("timeout_ms", "is not for one message of a batch");
    auto& submission = submissions.emplace_back();
    if (auto read = read_submission(one, call.caller, submission); !read) return failure_of(read.error());
    if (!submission.options.durability) submission.options.durability = durability;
    return std::nullopt;
  });
  if (failure) return call.answer.fail(*failure);
  call.engine().submit_batch(std::move(submissions), answer_by<std::vector<queue::Submitted>>(call, ids_of));
}

}  // namespace qh::rpc
