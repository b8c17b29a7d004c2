// fuzz/json_rpc - any bytes, as the body of a JSON-RPC request to a queue that has something in it.
//
// Laws (JSON-RPC 2.0, sections 4 to 6): every body is answered, in the end, by a JSON value, or by nothing when it
// holds notifications alone; each answer has a result or an error, never both, and an error a code, a message and what
// we promise besides; the ids of the answers are those of the calls, in their order; and nothing stays open.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "base/invariant.h"
#include "fuzz/rpc_bed.h"
#include "queue/json_text.h"

namespace {

using boost::json::value;
using qh::fuzz::Bed;
namespace queue = qh::queue;

/// The ids that must come back: of one call, null where it is none at all.
std::optional<value> id_due(const value& call) {
  const auto* members = call.if_object();
  if (members == nullptr) return value(nullptr);
  const auto* id = members->if_contains("id");
  const auto* version = members->if_contains("jsonrpc");
  const auto* method = members->if_contains("method");
  const auto* params = members->if_contains("params");
  const bool is_call = version != nullptr && *version == value("2.0") && method != nullptr && method->is_string() &&
                       (params == nullptr || params->is_structured());
  if (id == nullptr) return is_call ? std::nullopt : std::optional(value(nullptr));
  return *id;
}

void check_answer(const value& answer) {
  const auto& members = answer.as_object();
  INVARIANT(members.at("jsonrpc") == value("2.0"), "the version");
  INVARIANT(members.contains("id"), "an id, if only null");
  INVARIANT(members.contains("result") != members.contains("error"), "a result or an error");
  if (const auto* error = members.if_contains("error")) {
    INVARIANT(error->as_object().at("code").is_int64(), "a code");
    INVARIANT(!error->as_object().at("message").as_string().empty(), "a message");
    INVARIANT(error->as_object().at("data").as_object().contains("reason"), "the reason, for programs");
  }
}

void check_id(const value& answer, const value& due) {
  const auto& id = answer.as_object().at("id");
  // What is no legal id is answered with null.
  INVARIANT(id == due || (id.is_null() && !(due.is_string() || due.is_number())) ||
                (id.is_null() && answer.as_object().contains("error")),
            "the id comes back");
}

/// A member that is given twice spoils its call alone, which keeps its id (docs/json-rpc.md). Which calls those are
/// our reader does not say, so their answers are looked at one by one.
bool has_doubled_members(std::string_view body) {
  boost::system::error_code error;
  return !queue::parse_json(body) && !boost::json::parse(body, error).is_null() && !error;
}

void check_each(const std::string& reply) {
  if (reply.empty()) return;
  const auto answered = queue::parse_json(reply);
  INVARIANT(answered, "an answer is JSON");
  if (!answered->is_array()) return check_answer(*answered);
  for (const auto& answer : answered->as_array()) check_answer(answer);
}

void check_reply(std::string_view body, const std::string& reply) {
  if (has_doubled_members(body)) return check_each(reply);
  const auto asked = queue::parse_json(body);
  std::vector<value> due;
  if (!asked) {
    due.emplace_back(nullptr);
  } else if (const auto* batch = asked->if_array(); batch != nullptr && !batch->empty() && batch->size() <= 1'000) {
    for (const auto& call : *batch) {
      if (auto id = id_due(call)) due.push_back(std::move(*id));
    }
  } else if (asked->is_array()) {
    due.emplace_back(nullptr);
  } else if (auto id = id_due(*asked)) {
    due.push_back(std::move(*id));
  }
  if (due.empty()) return INVARIANT(reply.empty(), "notifications are not answered");
  const auto answered = queue::parse_json(reply);
  INVARIANT(answered, "an answer is JSON");
  const bool in_array = answered->is_array();
  INVARIANT(in_array == (asked && asked->is_array() && !asked->as_array().empty() && asked->as_array().size() <= 1'000),
            "a batch is answered by an array");
  INVARIANT((in_array ? answered->as_array().size() : 1) == due.size(), "an answer for each call");
  for (std::size_t i = 0; i < due.size(); ++i) {
    const auto& answer = in_array ? answered->as_array()[i] : *answered;
    check_answer(answer);
    check_id(answer, due[i]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static auto bed = std::make_unique<Bed>();
  if (size > 16'384) return 0;
  if (bed->worn()) bed = std::make_unique<Bed>();
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check_reply(body, bed->ask(body));
  return 0;
}
