#include "queue/message_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/nearest.h"

namespace qh::queue {
namespace {

namespace json = boost::json;

tl::unexpected<Error> bad(std::string_view path, std::string what) {
  return fail(Error(Errc::kInvalid, std::move(what)).about(path));
}

tl::unexpected<Error> expected(std::string_view path, std::string_view what, const json::value& got) {
  return bad(path, "expected " + std::string(what) + ", got " + describe_json(got));
}

std::string member_path(std::string_view owner, std::string_view member) {
  return std::string(owner) + "." + std::string(member);
}

/// Longer ones are not repeated in an error.
constexpr std::size_t kDescribedBytesMax = 64;

constexpr std::string_view kIntegerExpected = "an integer from 0 to 9007199254740991";
constexpr std::string_view kBytesExpected =
    "bytes (an array of 0..255, \"0x\" and hex digits, or {\"base64\": \"..\"})";

Result<Bytes> bytes_from_array(const json::array& array, std::string_view path) {
  Bytes bytes;
  bytes.reserve(array.size());
  for (const auto& element : array) {
    const auto number = integer_from_json(element);
    if (!number || *number > 255) {
      return expected(std::string(path) + "[" + std::to_string(bytes.size()) + "]", "an integer from 0 to 255",
                      element);
    }
    bytes.push_back(static_cast<std::byte>(*number));
  }
  return bytes;
}

Result<Bytes> bytes_from_text(Result<Bytes> bytes, std::string_view path) {
  if (!bytes) return bad(path, "expected " + std::string(kBytesExpected) + ", got " + bytes.error().context);
  return bytes;
}

/// Reads one value into a field.
struct FieldReader {
  const json::value& json;
  const std::string& path;

  Result<void> operator()(Hash32& out) const {
    auto bytes = bytes_from_json(json, path);
    if (!bytes) return fail(std::move(bytes.error()));
    if (bytes->size() != out.size()) {
      return bad(path, "expected 32 bytes, got " + std::to_string(bytes->size()));
    }
    std::copy(bytes->begin(), bytes->end(), out.begin());
    return {};
  }
  Result<void> operator()(std::uint64_t& out) const {
    const auto number = integer_from_json(json);
    if (!number) return expected(path, kIntegerExpected, json);
    out = *number;
    return {};
  }
  Result<void> operator()(double& out) const {
    if (!json.is_number()) return expected(path, "a fraction from 0 to 1", json);
    const auto number = json.to_number<double>();
    if (!(number >= 0 && number <= 1)) return expected(path, "a fraction from 0 to 1", json);
    out = number + 0.0;  // -0 has no encoding of its own
    return {};
  }
  Result<void> operator()(std::string& out) const {
    if (!json.is_string()) return expected(path, "a string", json);
    out = std::string_view(json.get_string());
    return {};
  }
  Result<void> operator()(Bytes& out) const {
    auto bytes = bytes_from_json(json, path);
    if (!bytes) return fail(std::move(bytes.error()));
    out = std::move(*bytes);
    return {};
  }
  template <class T>
  Result<void> operator()(std::optional<T>& out) const {
    if (json.is_null()) {
      out.reset();
      return {};
    }
    return (*this)(out.emplace());
  }
};

struct FieldWriter {
  json::value operator()(const Hash32& value) const { return hex(value); }
  json::value operator()(std::uint64_t value) const { return static_cast<std::int64_t>(value); }
  json::value operator()(double value) const { return value; }
  json::value operator()(const std::string& value) const { return json::value(value); }
  json::value operator()(const Bytes& value) const { return hex(value); }
  template <class T>
  json::value operator()(const std::optional<T>& value) const {
    return value ? (*this)(*value) : json::value(nullptr);
  }

 private:
  static json::value hex(ByteView bytes) { return json::value("0x" + to_hex(bytes)); }
};

template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;

template <class T>
Result<void> refuse_unknown(const json::object& object) {
  static constexpr auto kNames = std::apply([](const auto&... f) { return std::array{f.name...}; }, T::fields());
  for (const auto& member : object) {
    const std::string_view key = member.key();
    if (std::find(kNames.begin(), kNames.end(), key) != kNames.end()) continue;
    return bad(member_path(T::kName, key), "unknown field" + nearest_hint(key, kNames));
  }
  return {};
}

template <class T>
Result<Message> struct_from_json(const json::value& json) {
  if (!json.is_object()) return expected(T::kName, "an object", json);
  const auto& object = json.get_object();
  if (auto known = refuse_unknown<T>(object); !known) return fail(std::move(known.error()));
  T message;
  Result<void> done;
  const auto one = [&](const auto& field) {
    const std::string path = member_path(T::kName, field.name);
    const auto* value = object.if_contains(field.name);
    auto& into = message.*(field.member);
    if (value != nullptr) {
      done = FieldReader{*value, path}(into);
    } else if (field.nullable || !is_optional<std::remove_reference_t<decltype(into)>>) {
      done = bad(path, field.nullable ? "is missing; it may be null, but it must be there" : "is missing");
    }
    return done.has_value();
  };
  const bool good = std::apply([&](const auto&... field) { return (one(field) && ...); }, T::fields());
  if (!good) return fail(std::move(done.error()));
  return Message(std::move(message));
}

template <std::size_t... I>
Result<Message> kind_from_json(Kind kind, const json::value& json, std::index_sequence<I...>) {
  using Read = Result<Message> (*)(const json::value&);
  constexpr Read kReaders[] = {&struct_from_json<std::variant_alternative_t<I, Message>>...};
  return kReaders[static_cast<std::size_t>(kind)](json);
}

template <class T>
json::value struct_to_json(const T& message) {
  json::object fields;
  const auto one = [&](const auto& field) {
    const auto& value = message.*(field.member);
    if constexpr (is_optional<std::remove_cvref_t<decltype(value)>>) {
      if (!value && !field.nullable) return;
    }
    fields.emplace(field.name, FieldWriter{}(value));
  };
  std::apply([&](const auto&... field) { (one(field), ...); }, T::fields());
  json::object tagged;
  tagged.emplace(T::kName, std::move(fields));
  return tagged;
}

}  // namespace

std::optional<std::uint64_t> integer_from_json(const json::value& v) {
  if (v.is_int64()) {
    const auto number = v.get_int64();
    if (number < 0 || static_cast<std::uint64_t>(number) > kIntegerMax) return std::nullopt;
    return static_cast<std::uint64_t>(number);
  }
  if (!v.is_double()) return std::nullopt;  // what is uint64 here is 2^63 or more
  const double number = v.get_double();
  if (!(number >= 0 && number <= static_cast<double>(kIntegerMax)) || std::trunc(number) != number) return std::nullopt;
  return static_cast<std::uint64_t>(number);
}

std::string describe_json(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return v.get_bool() ? "true" : "false";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "the number " + write_json(v);
    case json::kind::string:
      return v.get_string().size() > kDescribedBytesMax
                 ? "a string of " + std::to_string(v.get_string().size()) + " bytes"
                 : "the string " + write_json(v);
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "nothing";
}

Result<Bytes> bytes_from_json(const json::value& v, std::string_view path) {
  if (v.is_array()) return bytes_from_array(v.get_array(), path);
  if (v.is_string() && std::string_view(v.get_string()).starts_with("0x")) {
    return bytes_from_text(from_hex(std::string_view(v.get_string()).substr(2)), path);
  }
  if (v.is_object() && v.get_object().size() == 1) {
    const auto* text = v.get_object().if_contains("base64");
    if (text != nullptr && text->is_string()) return bytes_from_text(from_base64(text->get_string()), path);
  }
  return expected(path, kBytesExpected, v);
}

Result<Message> message_from_json(const json::value& v) {
  if (!v.is_object() || v.get_object().size() != 1) {
    return bad("message", "expected an object with one of " + kind_names() + " as its only member" +
                              (v.is_object() ? ", got " + std::to_string(v.get_object().size()) + " members"
                                             : ", got " + describe_json(v)));
  }
  const auto& member = *v.get_object().begin();
  const std::string_view name = member.key();
  const auto kind = kind_named(name);
  if (!kind) {
    std::array<std::string_view, kKindCount> names;
    for (const auto& known : kinds()) names[static_cast<std::size_t>(known.kind)] = known.name;
    return bad(name, "unknown kind" + nearest_hint(name, names) + "; there are " + kind_names());
  }
  return kind_from_json(*kind, member.value(), std::make_index_sequence<kKindCount>{});
}

json::value message_to_json(const Message& message) {
  return std::visit([](const auto& m) { return struct_to_json(m); }, message);
}

json::value queued_to_json(const QueuedMessage& m) {
  json::object out;
  out.reserve(10);
  out.emplace("message", message_to_json(m.message()));
  out.emplace("message_id", static_cast<std::int64_t>(m.id.value()));
  out.emplace("created_at", m.created_at.seconds());
  out.emplace("submitted_by", m.submitted_by);
  out.emplace("persisted", m.persisted);
  out.emplace("broadcast", m.broadcast);
  out.emplace("created_at_ms", m.created_at.ms());
  out.emplace("priority", priority_name(m.priority()));
  out.emplace("deliveries", m.deliveries);
  out.emplace("digest", "0x" + to_hex(m.digest()));
  return out;
}

}  // namespace qh::queue
