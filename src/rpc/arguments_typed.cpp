// Parameters as the binary codec has them: docs/formats/rpc-binary.md.
#include <bit>
#include <utility>

#include "base/invariant.h"
#include "rpc/arguments.h"
#include "rpc/binary_parameters.h"

namespace qh::rpc {
namespace {

static_assert(kParametersMax <= binary::kParametersMax);

Failure wrong(const Parameter& parameter, std::string got) {
  return bad_parameter(parameter.name, "expected " + expectation(parameter) + ", got " + std::move(got));
}

Failure ends_early(std::string_view field) { return bad_parameter(field, "the body ends too early"); }

std::string number_text(std::uint64_t value) { return "the number " + std::to_string(value); }

std::optional<Failure> check_integer(const Parameter& p, std::uint64_t value) {
  if (value >= p.min && value <= p.max) return std::nullopt;
  return wrong(p, number_text(value));
}

std::optional<Failure> check_text(const Parameter& p, ByteView bytes) {
  if (bytes.size() < p.min || bytes.size() > p.max)
    return wrong(p, "a string of " + std::to_string(bytes.size()) + " bytes");
  if (!queue::is_utf8(as_text(bytes))) return wrong(p, "bytes that are no UTF-8");
  return std::nullopt;
}

std::optional<Failure> check_ids(const Parameter& p, ByteView bytes) {
  ByteReader reader(bytes);
  for (std::size_t index = 0; !reader.at_end(); ++index) {
    const auto id = reader.get<std::uint64_t>();
    if (id >= 1 && id <= queue::kIntegerMax) continue;
    return bad_parameter(std::string(p.name) + "[" + std::to_string(index) + "]",
                         "expected an integer from 1 to 9007199254740991, got " + number_text(id));
  }
  return std::nullopt;
}

/// Behind one of them, if it has the form of one.
bool skip_submission(const Method& submit, ByteReader& reader) {
  const auto mask = reader.get<binary::Mask>();
  if (mask >> submit.parameters.size() != 0) return false;
  for (auto rest = mask; rest != 0; rest &= static_cast<binary::Mask>(rest - 1)) {
    switch (submit.parameters[static_cast<std::size_t>(std::countr_zero(rest))].type) {
      case Type::kMessage:
      case Type::kText:
        reader.get_sized<std::uint32_t>();
        break;
      case Type::kInteger:
        reader.get<std::uint64_t>();
        break;
      case Type::kWord:
        reader.get<std::uint8_t>();
        break;
      default:
        INVARIANT(false, "a message of a batch has no parameter of another type");
    }
  }
  return reader.ok();
}

/// Finds their end. They are bound one by one when they are carried out.
std::optional<Failure> read_submissions(const Parameter& p, ByteReader& reader, Argument& into) {
  into.number = reader.get<std::uint32_t>();
  if (!reader.ok()) return ends_early(p.name);
  if (into.number == 0 || into.number > p.max) return wrong(p, "an array of " + std::to_string(into.number));
  const auto& submit = *find_method("qssh_submitMessage");
  auto walk = reader;
  for (std::size_t index = 0; index < into.number; ++index) {
    auto again = walk;
    if (skip_submission(submit, walk)) continue;
    Arguments one;
    auto failure = bind_typed(submit, again, one);
    INVARIANT(failure.has_value(), "what has not the form of a message says why");
    return in_element(std::move(*failure), index);
  }
  into.bytes = reader.get_raw(walk.offset() - reader.offset());
  return std::nullopt;
}

std::optional<Failure> read_value(const Parameter& p, ByteReader& reader, Argument& into) {
  switch (p.type) {
    case Type::kMessage:
    case Type::kText:
      into.bytes = reader.get_sized<std::uint32_t>();
      if (!reader.ok()) break;
      return p.type == Type::kText ? check_text(p, into.bytes) : std::nullopt;
    case Type::kInteger:
      into.number = reader.get<std::uint64_t>();
      if (!reader.ok()) break;
      return check_integer(p, into.number);
    case Type::kWord:
      into.number = reader.get<std::uint8_t>();
      if (!reader.ok()) break;
      if (word_at(p, into.number).empty()) return wrong(p, "word " + std::to_string(into.number));
      return std::nullopt;
    case Type::kKinds:
      into.number = reader.get<std::uint8_t>();
      if (!reader.ok()) break;
      if (into.number == 0 || into.number > queue::KindMask::all().bits())
        return wrong(p, "the bits " + std::to_string(into.number));
      return std::nullopt;
    case Type::kIds: {
      const auto count = reader.get<std::uint32_t>();
      if (reader.ok() && count > p.max) return wrong(p, "an array of " + std::to_string(count));
      into.bytes = reader.get_raw(count * sizeof(std::uint64_t));
      if (!reader.ok()) break;
      return check_ids(p, into.bytes);
    }
    case Type::kSubmissions:
      return read_submissions(p, reader, into);
    case Type::kNumber:
    case Type::kName:
    case Type::kFlag:
    case Type::kTrue:
    case Type::kCursor:
    case Type::kDeadCursor:
      return bad_parameter(p.name, "has no typed form: call the method with JSON (flag 1)");
  }
  return ends_early(p.name);
}

}  // namespace

std::optional<Failure> bind_typed(const Method& method, ByteReader& reader, Arguments& into) {
  const auto mask = reader.get<binary::Mask>();
  if (!reader.ok()) return ends_early("params");
  const auto known = method.parameters.size();
  if ((mask >> known) != 0)
    return bad_parameter(
        "params", std::string(method.name) + " has " + std::to_string(known) + " parameters, and the mask says others");
  for (auto rest = mask; rest != 0; rest &= static_cast<binary::Mask>(rest - 1)) {
    Argument argument{.parameter = &method.parameters[static_cast<std::size_t>(std::countr_zero(rest))]};
    if (auto failure = read_value(*argument.parameter, reader, argument)) return failure;
    into.add(argument);
  }
  return find_missing(method, into);
}

std::optional<Failure> bind_typed(const Method& method, ByteView body, Arguments& into) {
  ByteReader reader(body);
  if (auto failure = bind_typed(method, reader, into)) return failure;
  if (reader.at_end()) return std::nullopt;
  return bad_parameter("params", std::to_string(body.size() - reader.offset()) + " bytes are left over");
}

}  // namespace qh::rpc
