// Removing, retrying, pausing. The table says which parameters stand together.
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

}  // namespace

void remove_message(Call& call) {
  call.engine().remove(MessageId{*call.arguments.integer("message_id")}, answer_by<bool>(call, [](bool removed) {
                         return json::value(json::object{{"removed", removed}});
                       }));
}

void purge(Call& call) {
  const auto older_than = call.arguments.milliseconds("older_than_ms").value_or(Duration(0));
  call.engine().purge(call.arguments.kinds(), older_than, answer_by<std::uint64_t>(call, as_member("purged")));
}

void retry_dead_letter(Call& call) {
  if (const auto id = call.arguments.integer("message_id"))
    return call.engine().retry_dead(MessageId{*id}, answer_by<std::uint64_t>(call, as_member("retried")));
  call.engine().retry_all_dead(call.arguments.number("rate").value_or(0),
                               answer_by<std::uint64_t>(call, as_member("retried")));
}

void purge_dead_letters(Call& call) {
  if (const auto id = call.arguments.integer("message_id"))
    return call.engine().purge_dead(MessageId{*id}, answer_by<std::uint64_t>(call, as_member("purged")));
  const auto older_than = call.arguments.milliseconds("older_than_ms");
  call.engine().purge_dead_older(older_than.value_or(Duration(0)), answer_by<std::uint64_t>(call, as_member("purged")));
}

void pause(Call& call) { call.engine().pause(call.arguments.kinds(), answer_by<queue::KindMask>(call, paused_json)); }

void resume(Call& call) { call.engine().resume(call.arguments.kinds(), answer_by<queue::KindMask>(call, paused_json)); }

}  // namespace qh::rpc
