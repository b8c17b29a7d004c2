#include "rpc/failure.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/json/value.hpp>

#include "queue/json_text.h"
#include "queue/message.h"
#include "rpc/dispatcher.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

Code code_of(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return Code::kInvalidParams;
    case Errc::kTooLarge:
      return Code::kTooLarge;
    case Errc::kQueueFull:
      return Code::kQueueFull;
    case Errc::kRateLimited:
      return Code::kRateLimited;
    case Errc::kStorageFull:
      return Code::kStorageFull;
    case Errc::kStorageFailed:
      return Code::kStorageFailed;
    case Errc::kNotFound:
      return Code::kNotFound;
    case Errc::kTimeout:
      return Code::kTimeout;
    case Errc::kShuttingDown:
      return Code::kShuttingDown;
    case Errc::kNotPermitted:
      return Code::kForbidden;
    case Errc::kBusy:
    case Errc::kLeaseLost:
      return Code::kBusy;
    case Errc::kCorrupt:
    case Errc::kNewerVersion:
    case Errc::kExists:
    case Errc::kIo:
      return Code::kInternal;
  }
  return Code::kInternal;
}

json::value number(std::uint64_t value) { return static_cast<std::int64_t>(std::min(value, queue::kIntegerMax)); }

void add_data(const Failure& failure, std::string& out) {
  out += R"({"reason":)";
  queue::write_json_string(info(failure.code).reason, out);
  for (const auto& member : failure.data) {
    out += ',';
    queue::write_json_string(member.key(), out);
    out += ':';
    queue::write_json(member.value(), out);
  }
  out += '}';
}

}  // namespace

Failure failure_of(const Error& error) {
  const Code code = code_of(error.code);
  Failure failure(code, error.to_string());
  switch (code) {
    case Code::kInvalidParams:
      return bad_parameter(error.subject, error.context);
    case Code::kQueueFull:
    case Code::kRateLimited:
      if (!error.subject.empty()) failure.data.emplace("bound", error.subject);
      failure.data.emplace("retry_after_ms", error.retry_after_ms);
      break;
    case Code::kTooLarge:
      failure.data.emplace("limit", number(error.limit));
      failure.data.emplace("size", number(error.size));
      break;
    case Code::kStorageFailed:
      failure.data.emplace("file", error.subject);
      failure.data.emplace("system_error", error.os_errno == 0 ? "" : std::strerror(error.os_errno));
      break;
    case Code::kTimeout:  // of the queue: a wait that was ended, a hand-out without room in the log
      failure.data.emplace("outcome", kNothingTaken);
      break;
    case Code::kForbidden:
      if (!error.subject.empty()) failure.data.emplace("role", error.subject);
      break;
    default:
      break;
  }
  return failure;
}

Failure bad_parameter(std::string_view field, std::string expected) {
  std::string text(field);
  if (!text.empty() && !expected.starts_with(text)) text += ": ";
  if (expected.starts_with(field)) text.clear();
  Failure failure(Code::kInvalidParams, text + expected);
  failure.data.emplace("field", field);
  failure.data.emplace("expected", without_got(expected));
  return failure;
}

std::string_view without_got(std::string_view text) { return text.substr(0, text.find(", got ")); }

std::string write_failure_data(const Failure& failure) {
  std::string out;
  add_data(failure, out);
  return out;
}

std::string write_failure(const Failure& failure, std::string_view id) {
  std::string out = R"({"jsonrpc":"2.0","error":{"code":)";
  out += std::to_string(static_cast<int>(failure.code));
  out += R"(,"message":)";
  queue::write_json_string(failure.message, out);
  out += R"(,"data":)";
  add_data(failure, out);
  out += R"(},"id":)";
  out += id;
  out += '}';
  return out;
}

std::string write_result(const json::value& result, std::string_view id) {
  std::string out = R"({"jsonrpc":"2.0","result":)";
  queue::write_json(result, out);
  out += R"(,"id":)";
  out += id;
  out += '}';
  return out;
}

std::string error_reply(Code code, std::string_view message, std::uint64_t limit, std::uint64_t size) {
  Failure failure(code, std::string(message));
  if (limit != 0) failure.data.emplace("limit", number(limit));
  if (size != 0 && size <= queue::kIntegerMax) failure.data.emplace("size", number(size));
  return write_failure(failure, "null");
}

}  // namespace qh::rpc
