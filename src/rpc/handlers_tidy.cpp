// Removing, retrying, pausing.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include <boost/json/object.hpp>

#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using queue::MessageId;

auto as_member(std::string_view name) {
  return [name](std::uint64_t count) { return json::value(json::object{{name, integer_json(count)}}); };
}

json::value paused_json(queue::KindMask kinds) { return json::object{{"paused", kinds_json(kinds)}}; }

/// `{all: true}` stands alone: with something narrower beside it, one of the two is a mistake.
std::optional<Failure> choose(const Arguments& arguments, std::initializer_list<std::string_view> narrower,
                              std::string_view choices) {
  const bool all = arguments.flag("all");
  const auto given = std::count_if(narrower.begin(), narrower.end(), [&](auto name) { return arguments.has(name); });
  if (all && given != 0) return bad_parameter("all", "expected alone, without what narrows it");
  if (!all && given == 0)
    return bad_parameter("all", "expected " + std::string(choices) + ": nothing is chosen by default");
  return std::nullopt;
}

}  // namespace

void remove_message(Call& call) {
  call.engine().remove(MessageId{*call.arguments.integer("message_id")}, answer_by<bool>(call, [](bool removed) {
                         return json::value(json::object{{"removed", removed}});
                       }));
}

void purge(Call& call) {
  if (auto failure = choose(call.arguments, {"kinds", "older_than_ms"}, "kinds, older_than_ms or all:true"))
    return call.answer.fail(*failure);
  const auto older_than = call.arguments.milliseconds("older_than_ms").value_or(Duration(0));
  call.engine().purge(call.arguments.kinds(), older_than, answer_by<std::uint64_t>(call, as_member("purged")));
}

void retry_dead_letter(Call& call) {
  if (auto failure = choose(call.arguments, {"message_id"}, "message_id or all:true"))
    return call.answer.fail(*failure);
  if (const auto id = call.arguments.integer("message_id")) {
    if (call.arguments.has("rate")) return call.answer.fail(bad_parameter("rate", "is for all:true only"));
    return call.engine().retry_dead(MessageId{*id}, answer_by<std::uint64_t>(call, as_member("retried")));
  }
  call.engine().retry_all_dead(call.arguments.number("rate").value_or(0),
                               answer_by<std::uint64_t>(call, as_member("retried")));
}

void purge_dead_letters(Call& call) {
  if (auto failure = choose(call.arguments, {"message_id", "older_than_ms"}, "message_id, older_than_ms or all:true")) {
    return call.answer.fail(*failure);
  }
  const auto older_than = call.arguments.milliseconds("older_than_ms");
  if (const auto id = call.arguments.integer("message_id")) {
    if (older_than) return call.answer.fail(bad_parameter("older_than_ms", "is not for one message_id"));
    return call.engine().purge_dead(MessageId{*id}, answer_by<std::uint64_t>(call, as_member("purged")));
  }
  call.engine().purge_dead_older(older_than.value_or(Duration(0)), answer_by<std::uint64_t>(call, as_member("purged")));
}

void pause(Call& call) { call.engine().pause(call.arguments.kinds(), answer_by<queue::KindMask>(call, paused_json)); }

void resume(Call& call) { call.engine().resume(call.arguments.kinds(), answer_by<queue::KindMask>(call, paused_json)); }

}  // namespace qh::rpc
