// Handing out.
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/message_json.h"
#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using queue::Engine;
using queue::LeaseId;

Engine::HandOut hand_out(const Call& call) {
  const auto now = call.services.clock.mono();
  return {call.arguments.kinds(), now + call.arguments.milliseconds("wait_ms").value_or(Duration(0))};
}

json::value leased_json(const queue::Leased& leased) {
  json::object out;
  out.emplace("lease", integer_json(leased.lease.value()));
  out.emplace("deadline_ms", leased.deadline.ms());
  auto message = queue::queued_to_json(leased.message);
  for (auto& member : message.get_object()) out.emplace(member.key(), std::move(member.value()));
  return out;
}

json::value outcome_json(const queue::LeaseOutcome& outcome) {
  json::array lost;
  for (const auto lease : outcome.lost) lost.push_back(integer_json(lease.value()));
  return json::object{{"done", integer_json(outcome.done)}, {"lost", std::move(lost)}};
}

std::vector<LeaseId> leases_of(const Call& call) {
  std::vector<LeaseId> leases;
  for (const auto id : call.arguments.ids("leases")) leases.emplace_back(id);
  return leases;
}

}  // namespace

void pop_message(Call& call) {
  const auto cancellable = call.answer.another();
  const auto wait = call.engine().take(
      hand_out(call), answer_by<std::optional<queue::Taken>>(call, [](std::optional<queue::Taken> taken) {
        return taken ? queue::queued_to_json(std::move(*taken).consume()) : json::value(nullptr);
      }));
  cancellable.waits(wait);
}

void lease(Call& call) {
  const auto max = static_cast<std::uint32_t>(call.arguments.integer_or("max", 1));
  const auto& options = call.engine().options();
  const auto duration = call.arguments.milliseconds("duration_ms").value_or(options.lease_default);
  const auto cancellable = call.answer.another();
  const auto wait = call.engine().lease(
      hand_out(call), max, duration, answer_by<std::vector<queue::Leased>>(call, [](std::vector<queue::Leased> leased) {
        json::array all;
        all.reserve(leased.size());
        for (const auto& one : leased) all.push_back(leased_json(one));
        return json::value(std::move(all));
      }));
  cancellable.waits(wait);
}

void ack(Call& call) { call.engine().ack(leases_of(call), answer_by<queue::LeaseOutcome>(call, outcome_json)); }

void nack(Call& call) {
  call.engine().nack(leases_of(call), call.arguments.milliseconds("delay_ms"),
                     std::string(call.arguments.text("error")), answer_by<queue::LeaseOutcome>(call, outcome_json));
}

void extend(Call& call) {
  const auto outcome = call.engine().extend(leases_of(call), *call.arguments.milliseconds("duration_ms"));
  if (!outcome) return call.answer.fail(outcome.error());
  call.answer.ok(outcome_json(*outcome));
}

}  // namespace qh::rpc
