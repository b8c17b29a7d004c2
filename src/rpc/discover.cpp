// rpc.discover: the method table as an OpenRPC document (OpenRPC specification 1.3.2).
#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/json_text.h"
#include "rpc/handlers.h"
#include "rpc/schemas.h"
#include "rpc/validator_name.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

json::object schema_of(const Parameter& p);

json::object closed(json::object object) {
  object.emplace("additionalProperties", false);
  return object;
}

json::object any_of(json::array some) { return {{"anyOf", std::move(some)}}; }

/// null stands for a parameter that is left out.
json::object as_given(const Parameter& p) {
  if (p.required) return schema_of(p);
  return any_of({schema_of(p), json::object{{"type", "null"}}});
}

json::object by_name(std::span<const Parameter> parameters) {
  json::object properties;
  json::array required;
  for (const auto& p : parameters) {
    properties.emplace(p.name, as_given(p));
    if (p.required) required.emplace_back(p.name);
  }
  return closed({{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}});
}

/// What stands in a batch: a message, or with more beside it the named parameters of qssh_submitMessage.
json::object submission_schema() {
  std::vector<Parameter> parameters;
  for (const auto& p : find_method("qssh_submitMessage")->parameters) {
    if (p.name != "timeout_ms") parameters.push_back(p);
  }
  return any_of({json::object{{"$ref", "#/components/schemas/Message"}}, by_name(parameters)});
}

json::object way_schema(const Method& method, const Way& way) {
  json::object properties{{way.needs, json::object{{"not", json::object{{"type", "null"}}}}}};
  for (const auto& p : method.parameters) {
    if (p.name != way.needs && p.name != way.may) properties.emplace(p.name, json::object{{"type", "null"}});
  }
  return {{"required", json::array{way.needs}}, {"properties", std::move(properties)}};
}

json::object schema_of(const Parameter& p) {
  switch (p.type) {
    case Type::kMessage:
      return {{"$ref", "#/components/schemas/Message"}};
    case Type::kSubmissions:
      return {{"type", "array"}, {"minItems", 1}, {"maxItems", integer_json(p.max)}, {"items", submission_schema()}};
    case Type::kInteger:
      return {{"type", "integer"}, {"minimum", integer_json(p.min)}, {"maximum", integer_json(p.max)}};
    case Type::kNumber:
      return any_of({json::object{{"const", 0}},
                     json::object{{"type", "number"}, {"minimum", kNumberMin}, {"maximum", integer_json(p.max)}}});
    case Type::kText:
      // Its bound is in bytes, and maxLength counts characters: what is over that is over the bound, too.
      return {{"type", "string"},
              {"minLength", integer_json(p.min)},
              {"maxLength", integer_json(p.max)},
              {"x-max-bytes", integer_json(p.max)}};
    case Type::kName:
      return {{"type", "string"}, {"pattern", kValidatorPattern}, {"not", json::object{{"const", kNoValidator}}}};
    case Type::kFlag:
      return {{"type", "boolean"}};
    case Type::kTrue:
      return {{"const", true}};
    case Type::kWord: {
      json::array words;
      for (const auto word : words_of(p)) words.emplace_back(word);
      return {{"type", "string"}, {"enum", std::move(words)}};
    }
    case Type::kKinds:
      return {{"type", "array"},
              {"minItems", 1},
              {"maxItems", queue::kKindCount},
              {"items", json::object{{"$ref", "#/components/schemas/Kind"}}}};
    case Type::kIds:
      return {{"type", "array"},
              {"maxItems", integer_json(p.max)},
              {"items", json::object{{"$ref", "#/components/schemas/Id"}}}};
    case Type::kCursor:
      return any_of(
          {schema_of_note(R"("Count")"), closed(schema_of_note(R"({"priority":"Priority","message_id":"Count"})"))});
    case Type::kDeadCursor:
      return closed(schema_of_note(R"({"died_at_ms":"Count","message_id":"Count"})"));
  }
  return {};
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Errors that the method may have besides those of every call.
bool may_answer(const Method& method, Code code) {
  const bool changes_queue = method.role != Role::kRead && method.needs == Needs::kNothing;
  switch (code) {
    case Code::kParse:
    case Code::kInvalidRequest:
    case Code::kMethodNotFound:
      return false;  // said before there is a method
    case Code::kRateLimited:
      return method.role == Role::kSubmit;
    case Code::kTimeout:
      return method.role == Role::kSubmit || method.hands_out;
    case Code::kShuttingDown:
      return method.role != Role::kRead;
    case Code::kQueueFull:  // waiting calls have a bound too
      return changes_queue;
    case Code::kStorageFull:
    case Code::kStorageFailed:
      return changes_queue || is_one_of(method.name, {"node_addValidator", "node_startValidator"});
    case Code::kNotFound:
      return is_one_of(method.name, {"qssh_peek", "qssh_retryDeadLetter", "qssh_purgeDeadLetters",
                                     "node_startValidator", "node_stopValidator"});
    case Code::kBusy:
      return is_one_of(method.name,
                       {"qssh_removeMessage", "node_addValidator", "node_startValidator", "node_stopValidator"});
    default:
      return true;
  }
}

json::array errors_of(const Method& method) {
  json::array list;
  for (const auto& code : codes()) {
    if (may_answer(method, code.code))
      list.push_back(json::object{{"$ref", "#/components/errors/" + std::string(code.reason)}});
  }
  return list;
}

/// The bounds that the queue's settings give to a parameter that names them.
Parameter with_bounds(Parameter p, const queue::Options& options) {
  if (p.type == Type::kSubmissions) p.max = options.max_batch_messages;
  if (p.type != Type::kInteger || p.bounds.empty()) return p;
  const auto ms = [](Duration d) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
  };
  p.min = ms(options.lease_min);
  p.max = ms(options.lease_max);
  return p;
}

/// All of them together, as an object: OpenRPC has no word for what stands beside what.
json::object params_schema(const Method& method, std::span<const Parameter> parameters) {
  auto object = by_name(parameters);
  if (method.shape == Shape::kMessage)
    return any_of({json::object{{"$ref", "#/components/schemas/Message"}}, std::move(object)});
  if (method.ways.empty()) return object;
  json::array ways;
  for (const auto& way : method.ways) ways.push_back(way_schema(method, way));
  object.emplace("anyOf", std::move(ways));
  return object;
}

json::object method_json(const Method& method, const queue::Options& options) {
  std::vector<Parameter> bound;
  json::array parameters;
  for (const auto& each : method.parameters) {
    const auto& p = bound.emplace_back(with_bounds(each, options));
    parameters.push_back(json::object{{"name", p.name},
                                      {"description", std::string(p.meaning) + "; " + expectation(p)},
                                      {"required", p.required},
                                      {"schema", as_given(p)}});
  }
  json::object out{{"name", method.name}, {"summary", method.summary}};
  if (!method.note.empty()) out.emplace("description", method.note);
  // A message's parameters stand in an array in a way of their own.
  out.emplace("paramStructure", method.shape == Shape::kMessage ? "by-name" : "either");
  out.emplace("params", std::move(parameters));
  out.emplace(
      "result",
      json::object{{"name", "result"}, {"description", method.result}, {"schema", schema_of_note(method.returns)}});
  out.emplace("errors", errors_of(method));
  out.emplace("x-params", params_schema(method, bound));
  out.emplace("x-role", role_name(method.role));
  out.emplace("x-example", queue::parse_json(method.example_params).value());
  return out;
}

}  // namespace

bool is_there(const Method& method, const Services& services) {
  switch (method.needs) {
    case Needs::kNode:
      return services.node != nullptr;
    case Needs::kFaults:
      return static_cast<bool>(services.inject);
    default:
      return true;
  }
}

void discover(Call& call) {
  json::array list;
  for (const auto& method : methods()) {
    if (is_there(method, call.services)) list.push_back(method_json(method, call.engine().options()));
  }
  json::object errors;
  for (const auto& code : codes()) {
    errors.emplace(code.reason, json::object{{"code", static_cast<int>(code.code)},
                                             {"message", code.meaning},
                                             {"data", json::object{{"reason", code.reason}}}});
  }
  call.answer.ok(
      json::object{{"openrpc", "1.3.2"},
                   {"info", json::object{{"title", "QuantumHarmony validator " + call.services.validator},
                                         {"version", "1"},
                                         {"description", "docs/json-rpc.md says it in words."}}},
                   {"methods", std::move(list)},
                   {"components", json::object{{"schemas", named_schemas()}, {"errors", std::move(errors)}}}});
}

}  // namespace qh::rpc
