// What handlers read of their parameters.
#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>

#include "queue/message_json.h"
#include "rpc/arguments.h"
#include "rpc/call.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

std::optional<Failure> each_json(const json::array& elements, const Method& submit, auto& each) {
  std::size_t index = 0;
  for (const auto& element : elements) {
    Arguments arguments;
    auto failure = element.is_object() ? bind(submit, &element, arguments)
                                       : bad_parameter("", "expected an object, got " + queue::describe_json(element));
    if (!failure) failure = each(arguments);
    if (failure) return in_element(std::move(*failure), index);
    ++index;
  }
  return std::nullopt;
}

std::optional<Failure> each_typed(const Argument& argument, const Method& submit, auto& each) {
  ByteReader reader(argument.bytes);
  Arguments arguments;
  for (std::size_t index = 0; index < argument.number; ++index, arguments.clear()) {
    auto failure = bind_typed(submit, reader, arguments);
    if (!failure) failure = each(arguments);
    if (failure) return in_element(std::move(*failure), index);
  }
  return std::nullopt;
}

}  // namespace

const Argument* Arguments::find(std::string_view name) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (values_[i].parameter->name == name) return &values_[i];
  }
  return nullptr;
}

const json::value* Arguments::json(std::string_view name) const {
  const auto* argument = find(name);
  return argument != nullptr ? argument->json : nullptr;
}

std::optional<std::uint64_t> Arguments::integer(std::string_view name) const {
  const auto* argument = find(name);
  if (argument == nullptr) return std::nullopt;
  return argument->json != nullptr ? queue::integer_from_json(*argument->json) : argument->number;
}

std::optional<double> Arguments::number(std::string_view name) const {
  const auto* value = json(name);
  return value != nullptr ? std::optional(value->to_number<double>()) : std::nullopt;
}

std::string_view Arguments::text(std::string_view name) const {
  const auto* argument = find(name);
  if (argument == nullptr) return {};
  if (argument->json != nullptr) return argument->json->get_string();
  if (argument->parameter->type == Type::kWord) return word_at(*argument->parameter, argument->number);
  return as_text(argument->bytes);
}

bool Arguments::flag(std::string_view name) const {
  const auto* value = json(name);
  return value != nullptr && value->get_bool();
}

std::optional<Duration> Arguments::milliseconds(std::string_view name) const {
  const auto value = integer(name);
  // The tables bound what is a duration; 2^53 ms would not fit into nanoseconds.
  return value ? std::optional<Duration>(std::chrono::milliseconds(*value)) : std::nullopt;
}

queue::KindMask Arguments::kinds(std::string_view name) const {
  const auto* argument = find(name);
  if (argument == nullptr) return queue::KindMask::all();
  if (argument->json == nullptr) return queue::KindMask(static_cast<std::uint8_t>(argument->number));
  queue::KindMask mask;
  for (const auto& kind : argument->json->get_array())
    mask = mask | queue::KindMask::of(*queue::kind_named(kind.get_string()));
  return mask;
}

std::vector<std::uint64_t> Arguments::ids(std::string_view name) const {
  std::vector<std::uint64_t> ids;
  const auto* argument = find(name);
  if (argument == nullptr) return ids;
  if (argument->json == nullptr) {
    ByteReader reader(argument->bytes);
    while (!reader.at_end()) ids.push_back(reader.get<std::uint64_t>());
    return ids;
  }
  for (const auto& id : argument->json->get_array()) ids.push_back(*queue::integer_from_json(id));
  return ids;
}

Result<void> Arguments::message(std::string_view name, queue::Submission& into) const {
  const auto& argument = *find(name);
  if (argument.json == nullptr) {
    into.borrowed = argument.bytes;
    return {};
  }
  const auto parsed = queue::message_from_json(*argument.json);
  if (!parsed) return qh::fail(parsed.error());
  auto body = queue::encode(*parsed);
  if (!body) return qh::fail(std::move(body.error()));
  into.body = std::move(*body);
  return {};
}

std::size_t Arguments::submissions(std::string_view name) const {
  const auto& argument = *find(name);
  return argument.json != nullptr ? argument.json->get_array().size() : static_cast<std::size_t>(argument.number);
}

std::optional<Failure> Arguments::each_submission(std::string_view name,
                                                  UniqueFunction<std::optional<Failure>(const Arguments&)> each) const {
  const auto& argument = *find(name);
  const auto& submit = *find_method("qssh_submitMessage");
  return argument.json != nullptr ? each_json(argument.json->get_array(), submit, each)
                                  : each_typed(argument, submit, each);
}

std::optional<Failure> find_missing(const Method& method, const Arguments& arguments) {
  for (const auto& parameter : method.parameters) {
    if (parameter.required && !arguments.has(parameter))
      return bad_parameter(parameter.name, "is missing: expected " + expectation(parameter));
  }
  return std::nullopt;
}

Failure in_element(Failure failure, std::size_t index) {
  const auto path = "messages[" + std::to_string(index) + "]";
  if (auto* field = failure.data.if_contains("field")) {
    const auto inner = std::string(std::string_view(field->get_string()));
    *field = json::value(path + (inner.empty() ? "" : ".") + inner);
  }
  failure.message = path + ": " + failure.message;
  return failure;
}

json::value integer_json(std::uint64_t value) { return static_cast<std::int64_t>(std::min(value, queue::kIntegerMax)); }

}  // namespace qh::rpc
