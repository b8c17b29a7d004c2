#include "rpc/calls.h"

#include <utility>

#include <boost/json/object.hpp>

namespace qh::rpc {
namespace {

namespace json = boost::json;

Failure missing_role(const Method& method) {
  const auto role = role_name(method.role);
  return Failure(Code::kForbidden, std::string(method.name) + " needs the role " + std::string(role))
      .with("role", json::value(role));
}

Failure nobody_listens(const Method& method) {
  return Failure(Code::kTimeout, std::string(method.name) + " was not carried out: the client's end was seen before")
      .with("outcome", json::value(kNothingTaken));
}

}  // namespace

Failure invalid_request(std::string_view field, std::string expected) {
  return Failure(Code::kInvalidRequest, std::string(field) + (field.empty() ? "" : ": ") + expected)
      .with("field", json::value(field))
      .with("expected", json::value(without_got(expected)));
}

Failure unreadable(const Error& error) {
  if (error.code == Errc::kExists) return invalid_request(error.subject, "the member is given twice");
  Failure failure(Code::kParse, error.context);
  if (error.code == Errc::kTooLarge) failure.data.emplace("limit", static_cast<std::int64_t>(error.limit));
  return failure;
}

std::optional<Failure> Calls::refusal(const Method& method, const Caller& caller) const {
  if (!caller.roles.has(method.role)) return missing_role(method);
  if (stopping && method.role != Role::kRead) return Failure(Code::kShuttingDown, "the node is stopping");
  if (caller.gone && method.hands_out) return nobody_listens(method);
  return std::nullopt;
}

}  // namespace qh::rpc
