#include <algorithm>
#include <array>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/nearest.h"
#include "queue/message_json.h"

namespace qh::queue {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 10> kMembers{"message",    "message_id", "created_at",    "submitted_by",
                                                    "persisted",  "broadcast",  "created_at_ms", "priority",
                                                    "deliveries", "digest"};

tl::unexpected<Error> bad(std::string_view member, std::string what) {
  return fail(Error(Errc::kInvalid, std::move(what)).about(member));
}

const json::value* present(const json::object& line, std::string_view member) {
  const auto* value = line.if_contains(member);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

Result<std::uint64_t> integer(const json::object& line, std::string_view member) {
  const auto* value = present(line, member);
  if (value == nullptr) return bad(member, "is missing");
  const auto number = integer_from_json(*value);
  if (!number) return bad(member, "expected an integer from 0 to 9007199254740991, got " + describe_json(*value));
  return *number;
}

/// Absent is false, as in lines that other programs wrote.
Result<bool> flag(const json::object& line, std::string_view member) {
  const auto* value = present(line, member);
  if (value == nullptr) return false;
  if (!value->is_bool()) return bad(member, "expected true or false, got " + describe_json(*value));
  return value->get_bool();
}

Result<WallTime> created_at(const json::object& line) {
  constexpr std::uint64_t kMsMax = INT64_MAX / 1'000'000;
  const bool exact = present(line, "created_at_ms") != nullptr;
  const auto number = integer(line, exact ? "created_at_ms" : "created_at");
  if (!number) return fail(number.error());
  if (*number > (exact ? kMsMax : kMsMax / 1000))
    return bad(exact ? "created_at_ms" : "created_at", "is after the year 2262");
  return WallTime::from_ms(static_cast<std::int64_t>(exact ? *number : *number * 1000));
}

/// The JSON Schema of a field's type.
struct TypeSchema {
  json::object operator()(const Hash32&) const {
    static_assert(sizeof(Hash32) == 32);
    auto array = array_of_bytes();
    array.emplace("minItems", 32);
    array.emplace("maxItems", 32);
    return one_of("32 bytes", "^0x[0-9a-fA-F]{64}$", std::move(array), "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$");
  }
  json::object operator()(const Bytes&) const {
    return one_of("bytes", "^0x([0-9a-fA-F]{2})*$", array_of_bytes(),
                  "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$");
  }
  json::object operator()(std::uint64_t) const {
    return {{"type", "integer"}, {"minimum", 0}, {"maximum", static_cast<std::int64_t>(kIntegerMax)}};
  }
  json::object operator()(double) const { return {{"type", "number"}, {"minimum", 0}, {"maximum", 1}}; }
  json::object operator()(const std::string&) const { return {{"type", "string"}}; }
  template <class T>
  json::object operator()(const std::optional<T>&) const {
    auto schema = (*this)(T{});
    if (auto* type = schema.if_contains("type")) *type = json::array{*type, "null"};
    return schema;
  }

 private:
  static json::object array_of_bytes() {
    return {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", 255}}}};
  }
  /// The three forms of bytes. Bits that are left over in base64 are zero.
  static json::object one_of(std::string_view what, std::string_view hex_digits, json::object array,
                             std::string_view base64_digits) {
    const json::object hex{{"type", "string"}, {"pattern", hex_digits}};
    const json::object base64{{"type", "object"},
                              {"properties", {{"base64", {{"type", "string"}, {"pattern", base64_digits}}}}},
                              {"required", json::array{"base64"}},
                              {"additionalProperties", false}};
    return {{"title", what}, {"oneOf", json::array{hex, std::move(array), base64}}};
  }
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
json::value kind_schema() {
  json::object properties;
  json::array required;
  const auto one = [&](const auto& field) {
    using Value = std::remove_cvref_t<decltype(T{}.*(field.member))>;
    auto schema = TypeSchema{}(Value{});
    schema.emplace("description", field.meaning);
    properties.emplace(field.name, std::move(schema));
    if (field.nullable || !IsOptional<Value>::value) required.emplace_back(field.name);
  };
  std::apply([&](const auto&... field) { (one(field), ...); }, T::fields());
  const json::object body{{"type", "object"},
                          {"properties", std::move(properties)},
                          {"required", std::move(required)},
                          {"additionalProperties", false}};
  return json::object{{"title", T::kName},
                      {"type", "object"},
                      {"properties", json::object{{T::kName, body}}},
                      {"required", json::array{T::kName}},
                      {"additionalProperties", false}};
}

template <std::size_t... I>
json::array all_schemas(std::index_sequence<I...>) {
  return {kind_schema<std::variant_alternative_t<I, Message>>()...};
}

}  // namespace

json::value message_schema() {
  return json::object{{"title", "message"}, {"oneOf", all_schemas(std::make_index_sequence<kKindCount>{})}};
}

Result<ExportedMessage> exported_from_json(const json::value& v) {
  if (!v.is_object()) return bad("line", "expected an object, got " + describe_json(v));
  const auto& line = v.get_object();
  for (const auto& member : line) {
    const std::string_view key = member.key();
    if (std::find(kMembers.begin(), kMembers.end(), key) == kMembers.end()) {
      return bad(key, "unknown member" + nearest_hint(key, kMembers));
    }
  }
  const auto* body = present(line, "message");
  if (body == nullptr) return bad("message", "is missing");
  auto message = message_from_json(*body);
  if (!message) return fail(std::move(message.error()));
  const auto id = integer(line, "message_id");
  if (!id) return fail(id.error());
  const auto created = created_at(line);
  if (!created) return fail(created.error());
  const auto* by = present(line, "submitted_by");
  if (by != nullptr && !by->is_string()) return bad("submitted_by", "expected a string, got " + describe_json(*by));
  const auto persisted = flag(line, "persisted");
  if (!persisted) return fail(persisted.error());
  const auto broadcast = flag(line, "broadcast");
  if (!broadcast) return fail(broadcast.error());
  return ExportedMessage{std::move(*message),
                         MessageId{*id},
                         *created,
                         by != nullptr ? std::string(std::string_view(by->get_string())) : std::string(),
                         *persisted,
                         *broadcast};
}

}  // namespace qh::queue
