// What the methods give, as JSON.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/message_json.h"
#include "rpc/call.h"
#include "rpc/replies.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

template <class Ids>
json::array ids_json(const Ids& ids) {
  json::array list;
  list.reserve(ids.size());
  for (const auto id : ids) list.push_back(integer_json(id.value()));
  return list;
}

json::value as_json(json::value value) { return value; }

json::value as_json(const queue::Submitted& s) {
  json::object out;
  out.reserve(4);
  out.emplace("message_id", integer_json(s.id.value()));
  out.emplace("priority", queue::priority_name(queue::info(s.kind).priority));
  out.emplace("persisted", s.persisted);
  out.emplace("duplicate", s.duplicate);
  return out;
}

json::value as_json(const std::vector<queue::MessageId>& ids) { return json::object{{"message_ids", ids_json(ids)}}; }

json::value as_json(const std::optional<queue::QueuedMessage>& taken) {
  return taken ? queue::queued_to_json(*taken) : json::value(nullptr);
}

json::value as_json(const std::vector<queue::QueuedMessage>& taken) {
  json::array all;
  all.reserve(taken.size());
  for (const auto& one : taken) all.push_back(queue::queued_to_json(one));
  return all;
}

json::value as_json(const std::vector<queue::Leased>& leased) {
  json::array all;
  all.reserve(leased.size());
  for (const auto& one : leased) {
    json::object out;
    out.emplace("lease", integer_json(one.lease.value()));
    out.emplace("deadline_ms", one.deadline.ms());
    auto message = queue::queued_to_json(one.message);
    for (auto& member : message.get_object()) out.emplace(member.key(), std::move(member.value()));
    all.push_back(std::move(out));
  }
  return all;
}

json::value as_json(const queue::LeaseOutcome& outcome) {
  return json::object{{"done", integer_json(outcome.done)}, {"lost", ids_json(outcome.lost)}};
}

}  // namespace

json::value to_json(Outcome outcome) {
  return std::visit([](auto&& one) { return as_json(std::forward<decltype(one)>(one)); }, std::move(outcome));
}

}  // namespace qh::rpc
