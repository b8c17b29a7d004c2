// rpc.discover: the method table as an OpenRPC document (OpenRPC specification 1.3.2).
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/json_text.h"
#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

json::object schema_of(const Parameter& p) {
  switch (p.type) {
    case Type::kMessage: {
      json::object kinds;
      for (const auto& kind : queue::kinds()) kinds.emplace(kind.name, json::object{{"type", "object"}});
      return {{"type", "object"}, {"minProperties", 1}, {"maxProperties", 1}, {"properties", std::move(kinds)}};
    }
    case Type::kSubmissions:
      return {{"type", "array"}, {"minItems", 1}, {"maxItems", integer_json(p.max)}};
    case Type::kInteger:
      return {{"type", "integer"}, {"minimum", integer_json(p.min)}, {"maximum", integer_json(p.max)}};
    case Type::kNumber:
      return {{"type", "number"}, {"minimum", 0}, {"maximum", integer_json(p.max)}};
    case Type::kText:
      return {{"type", "string"}, {"minLength", integer_json(p.min)}, {"maxLength", integer_json(p.max)}};
    case Type::kFlag:
      return {{"type", "boolean"}};
    case Type::kWord: {
      json::array words;
      for (const auto word : words_of(p)) words.emplace_back(word);
      return {{"type", "string"}, {"enum", std::move(words)}};
    }
    case Type::kKinds: {
      json::array names;
      for (const auto& kind : queue::kinds()) names.emplace_back(kind.name);
      return {
          {"type", "array"}, {"minItems", 1}, {"items", json::object{{"type", "string"}, {"enum", std::move(names)}}}};
    }
    case Type::kIds:
      return {{"type", "array"}, {"maxItems", integer_json(p.max)}, {"items", json::object{{"type", "integer"}}}};
    case Type::kCursor:
      return {{"type", json::array{"integer", "object"}}};
    case Type::kDeadCursor:
      return {{"type", "object"}, {"required", json::array{"died_at_ms", "message_id"}}};
  }
  return {};
}

json::object method_json(const Method& method) {
  json::array parameters;
  for (const auto& p : method.parameters) {
    parameters.push_back(json::object{{"name", p.name},
                                      {"description", std::string(p.meaning) + "; " + expectation(p)},
                                      {"required", p.required},
                                      {"schema", schema_of(p)}});
  }
  json::object out{{"name", method.name}, {"summary", method.summary}};
  if (!method.note.empty()) out.emplace("description", method.note);
  out.emplace("paramStructure", "either");
  out.emplace("params", std::move(parameters));
  out.emplace("result", json::object{{"name", "result"}, {"description", method.result}, {"schema", json::object{}}});
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
    if (is_there(method, call.services)) list.push_back(method_json(method));
  }
  json::array errors;
  for (const auto& code : codes()) {
    errors.push_back(json::object{{"code", static_cast<int>(code.code)},
                                  {"message", code.reason},
                                  {"data", json::object{{"reason", code.reason}}}});
  }
  call.answer.ok(json::object{{"openrpc", "1.3.2"},
                              {"info", json::object{{"title", "QuantumHarmony validator " + call.services.validator},
                                                    {"version", "1"},
                                                    {"description", "docs/rpc.md says it in words."}}},
                              {"methods", std::move(list)},
                              {"components", json::object{{"errors", std::move(errors)}}}});
}

}  // namespace qh::rpc
