// The validators of the node, through whoever runs them.
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using What = NodeRequest::What;

json::value status_json(const ValidatorStatus& status) {
  return json::object{{"name", status.name},
                      {"port", status.port},
                      {"binary_port", status.binary_port == 0 ? json::value(nullptr) : json::value(status.binary_port)},
                      {"state", status.state},
                      {"restarts", integer_json(status.restarts)},
                      {"error", status.error.empty() ? json::value(nullptr) : json::value(status.error)}};
}

void change(Call& call, What what) {
  NodeRequest request{.what = what, .name = std::string(call.arguments.text("name"))};
  request.port = static_cast<std::uint16_t>(call.arguments.integer_or("port", 0));
  call.services.node->ask(std::move(request),
                          answer_by<std::vector<ValidatorStatus>>(
                              call, [](const std::vector<ValidatorStatus>& one) { return status_json(one.at(0)); }));
}

}  // namespace

void list_validators(Call& call) {
  call.services.node->ask({.what = What::kList},
                          answer_by<std::vector<ValidatorStatus>>(call, [](const std::vector<ValidatorStatus>& all) {
                            json::array list;
                            for (const auto& one : all) list.push_back(status_json(one));
                            return json::value(std::move(list));
                          }));
}

void add_validator(Call& call) { change(call, What::kAdd); }
void stop_validator(Call& call) { change(call, What::kStop); }
void start_validator(Call& call) { change(call, What::kStart); }

void inject_fault(Call& call) {
  Fault fault;
  fault.kind = call.arguments.text("fault") == "stall" ? Fault::Kind::kStall : Fault::Kind::kError;
  fault.duration = call.arguments.milliseconds("duration_ms").value_or(std::chrono::seconds(1));
  call.services.inject(fault);
  call.answer.ok(json::object{{"injected", call.arguments.text("fault")}});
}

}  // namespace qh::rpc
