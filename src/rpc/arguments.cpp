#include <algorithm>
#include <array>

#include <boost/json/array.hpp>

#include "base/nearest.h"
#include "queue/message_json.h"
#include "rpc/arguments.h"
#include "rpc/validator_name.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

Failure wrong(std::string_view path, const Parameter& parameter, const json::value& got) {
  const bool empty = got.is_array() && got.get_array().empty();
  return bad_parameter(path, "expected " + expectation(parameter) + ", got " +
                                 (empty ? std::string("an empty array") : queue::describe_json(got)));
}

bool is_integer(const json::value& v, std::uint64_t min, std::uint64_t max) {
  const auto number = queue::integer_from_json(v);
  return number && *number >= min && *number <= max;
}

bool is_number(double v, double max) { return v == 0 || (v >= kNumberMin && v <= max); }

std::optional<Failure> check_ids(const Parameter& parameter, const json::value& v, std::string_view path) {
  if (!v.is_array() || v.get_array().size() > parameter.max) return wrong(path, parameter, v);
  std::size_t index = 0;
  for (const auto& id : v.get_array()) {
    if (!is_integer(id, 1, queue::kIntegerMax)) {
      return bad_parameter(std::string(path) + "[" + std::to_string(index) + "]",
                           "expected an integer from 1 to 9007199254740991, got " + queue::describe_json(id));
    }
    ++index;
  }
  return std::nullopt;
}

std::optional<Failure> check_kinds(const Parameter& parameter, const json::value& v, std::string_view path) {
  if (!v.is_array() || v.get_array().empty() || v.get_array().size() > queue::kKindCount) {
    return wrong(path, parameter, v);
  }
  std::size_t index = 0;
  for (const auto& kind : v.get_array()) {
    const auto at = std::string(path) + "[" + std::to_string(index++) + "]";
    if (!kind.is_string()) return bad_parameter(at, "expected the name of a kind, got " + queue::describe_json(kind));
    if (queue::kind_named(kind.get_string())) continue;
    std::array<std::string_view, queue::kKindCount> names;
    for (const auto& known : queue::kinds()) names[static_cast<std::size_t>(known.kind)] = known.name;
    return bad_parameter(
        at, "unknown kind" + nearest_hint(kind.get_string(), names) + "; there are " + queue::kind_names());
  }
  return std::nullopt;
}

std::optional<Failure> check_cursor(const Parameter& parameter, const json::value& v, std::string_view path) {
  if (is_integer(v, 0, queue::kIntegerMax)) return std::nullopt;
  if (!v.is_object() || v.get_object().size() != 2) return wrong(path, parameter, v);
  const auto* id = v.get_object().if_contains("message_id");
  const auto* priority = v.get_object().if_contains("priority");
  if (id == nullptr || !is_integer(*id, 0, queue::kIntegerMax) || priority == nullptr || !priority->is_string()) {
    return wrong(path, parameter, v);
  }
  return std::nullopt;
}

bool is_dead_cursor(const json::value& v) {
  if (!v.is_object() || v.get_object().size() != 2) return false;
  const auto* at = v.get_object().if_contains("died_at_ms");
  const auto* id = v.get_object().if_contains("message_id");
  return at != nullptr && id != nullptr && is_integer(*at, 0, queue::kIntegerMax) &&
         is_integer(*id, 0, queue::kIntegerMax);
}

std::vector<std::string_view> names_of(const Method& method) {
  std::vector<std::string_view> names;
  for (const auto& parameter : method.parameters) names.push_back(parameter.name);
  return names;
}

std::optional<Failure> add(const Parameter& parameter, const json::value& value, Arguments& into) {
  if (auto failure = check(parameter, value, parameter.name)) return failure;
  into.add({.parameter = &parameter, .json = &value});
  return std::nullopt;
}

std::optional<Failure> bind_object(const Method& method, const json::object& params, Arguments& into) {
  for (const auto& member : params) {
    const std::string_view key = member.key();
    const auto parameter = std::find_if(method.parameters.begin(), method.parameters.end(),
                                        [&](const Parameter& p) { return p.name == key; });
    if (parameter == method.parameters.end()) {
      if (method.shape == Shape::kMessage && queue::kind_named(key))
        return bad_parameter(key, "a message with parameters beside it goes under the name message");
      const auto names = names_of(method);
      return bad_parameter(key, "unknown parameter of " + std::string(method.name) + nearest_hint(key, names));
    }
    if (member.value().is_null() && !parameter->required) continue;  // as if it were not there
    if (auto failure = add(*parameter, member.value(), into)) return failure;
  }
  return std::nullopt;
}

std::optional<Failure> bind_array(const Method& method, const json::array& params, Arguments& into) {
  if (params.size() > method.parameters.size()) {
    return bad_parameter("params", "expected at most " + std::to_string(method.parameters.size()) + " of " +
                                       std::string(method.name) + ", got " + std::to_string(params.size()));
  }
  for (std::size_t i = 0; i < params.size(); ++i) {
    // null leaves a place free for those behind it.
    if (params[i].is_null() && !method.parameters[i].required) continue;
    if (auto failure = add(method.parameters[i], params[i], into)) return failure;
  }
  return std::nullopt;
}

/// What stands together is one of the method's ways: with something narrower beside `all`, one of the two is a mistake.
std::optional<Failure> check_ways(const Method& method, const Arguments& given) {
  if (method.ways.empty()) return std::nullopt;
  const auto way = std::ranges::find_if(method.ways, [&](const Way& w) { return given.has(w.needs); });
  if (way == method.ways.end())
    return bad_parameter(method.ways.back().needs, "expected " + ways_text(method) + ": nothing is chosen by default");
  for (const auto& p : method.parameters) {
    if (!given.has(p.name) || p.name == way->needs || p.name == way->may) continue;
    return bad_parameter(p.name, "expected " + ways_text(method) + ", got it beside " + std::string(way->needs));
  }
  return std::nullopt;
}

/// The message itself, or named parameters with `message` among them.
bool is_bare_message(const Method& method, const json::object& params) {
  const auto names = names_of(method);
  return !params.empty() && std::none_of(params.begin(), params.end(), [&](const auto& member) {
    return std::find(names.begin(), names.end(), std::string_view(member.key())) != names.end();
  });
}

std::optional<Failure> bind_message(const Method& method, const json::value& params, Arguments& into) {
  const auto& message = method.parameters.front();
  if (params.is_object() && is_bare_message(method, params.get_object())) {
    into.add({.parameter = &message, .json = &params});
    return std::nullopt;
  }
  if (params.is_array() && !params.get_array().empty()) {
    const auto& array = params.get_array();
    if (array.size() > 2) return bad_parameter("params", "expected [message] or [message, {options}]");
    into.add({.parameter = &message, .json = &array[0]});
    if (array.size() == 1) return std::nullopt;
    if (!array[1].is_object() || array[1].get_object().contains("message")) {
      return bad_parameter("params[1]", "expected an object with options, got " + queue::describe_json(array[1]));
    }
    return bind_object(method, array[1].get_object(), into);
  }
  return params.is_object() ? bind_object(method, params.get_object(), into) : std::nullopt;
}

}  // namespace

std::optional<Failure> check(const Parameter& parameter, const json::value& v, std::string_view path) {
  bool good = true;
  switch (parameter.type) {
    case Type::kMessage:
      break;  // the codec says it better, field by field
    case Type::kSubmissions:
      good = v.is_array() && !v.get_array().empty() && v.get_array().size() <= parameter.max;
      break;
    case Type::kInteger:
      good = is_integer(v, parameter.min, parameter.max);
      break;
    case Type::kNumber:
      good = v.is_number() && is_number(v.to_number<double>(), static_cast<double>(parameter.max));
      break;
    case Type::kText:
      good = v.is_string() && v.get_string().size() >= parameter.min && v.get_string().size() <= parameter.max;
      break;
    case Type::kName:
      good = v.is_string() && is_validator_name(v.get_string());
      break;
    case Type::kFlag:
      good = v.is_bool();
      break;
    case Type::kTrue:
      good = v.is_bool() && v.get_bool();
      break;
    case Type::kWord: {
      const auto words = words_of(parameter);
      good = v.is_string() && std::find(words.begin(), words.end(), std::string_view(v.get_string())) != words.end();
      break;
    }
    case Type::kKinds:
      return check_kinds(parameter, v, path);
    case Type::kIds:
      return check_ids(parameter, v, path);
    case Type::kCursor:
      return check_cursor(parameter, v, path);
    case Type::kDeadCursor:
      good = is_dead_cursor(v);
      break;
  }
  if (good) return std::nullopt;
  return wrong(path, parameter, v);
}

std::optional<Failure> bind(const Method& method, const json::value* params, Arguments& into) {
  std::optional<Failure> failure;
  if (params != nullptr) {
    if (method.shape == Shape::kMessage) {
      failure = bind_message(method, *params, into);
    } else if (params->is_array()) {
      failure = bind_array(method, params->get_array(), into);
    } else {
      failure = bind_object(method, params->get_object(), into);
    }
  }
  if (failure) return failure;
  if (auto missing = find_missing(method, into)) return missing;
  return check_ways(method, into);
}

}  // namespace qh::rpc
