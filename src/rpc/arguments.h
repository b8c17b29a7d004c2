// rpc/arguments.h - the parameters of a call, checked against the method table. Private to rpc/.
//
// Two binders fill them: one from JSON, one from the typed bodies of the binary codec. A handler does not see which.
// They point into the body that was bound, so a handler takes what it needs before it returns.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/clock.h"
#include "base/codec.h"
#include "base/unique_function.h"
#include "queue/engine.h"
#include "rpc/failure.h"
#include "rpc/method.h"

namespace qh::rpc {

inline constexpr std::size_t kParametersMax = 8;  ///< of a method

struct Argument {
  const Parameter* parameter = nullptr;
  const boost::json::value* json = nullptr;  ///< nullptr: it is a typed one
  std::uint64_t number = 0;                  ///< a typed integer, the place of a word, the bits of kinds
  ByteView bytes = {};                       ///< typed text, ids, a message, messages
};

class Arguments {
 public:
  void add(const Argument& argument) { values_.at(count_++) = argument; }
  void clear() { count_ = 0; }
  std::size_t count() const { return count_; }

  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// A line of the table that they were bound by.
  bool has(const Parameter& parameter) const {
    return std::ranges::any_of(std::span(values_).first(count_),
                               [&](const Argument& given) { return given.parameter == &parameter; });
  }
  std::optional<std::uint64_t> integer(std::string_view name) const;
  std::uint64_t integer_or(std::string_view name, std::uint64_t fallback) const {
    return integer(name).value_or(fallback);
  }
  std::optional<double> number(std::string_view name) const;
  std::string_view text(std::string_view name) const;  ///< also a word
  bool flag(std::string_view name) const;
  std::optional<Duration> milliseconds(std::string_view name) const;
  queue::KindMask kinds(std::string_view name = "kinds") const;  ///< all when it is not there
  std::vector<std::uint64_t> ids(std::string_view name) const;
  /// The canonical body of a message that is there. A typed one is borrowed, and checked by the engine.
  Result<void> message(std::string_view name, queue::Submission& into) const;
  /// How many there are of an array of submissions that is there.
  std::size_t submissions(std::string_view name) const;
  /// Calls `each` with the arguments of every submission, until it says that one is wrong.
  std::optional<Failure> each_submission(std::string_view name,
                                         UniqueFunction<std::optional<Failure>(const Arguments&)> each) const;
  /// Of types that the binary codec carries as JSON only.
  const boost::json::value* json(std::string_view name) const;

 private:
  const Argument* find(std::string_view name) const;

  std::array<Argument, kParametersMax> values_;
  std::size_t count_ = 0;
};

/// Lays JSON params out by the method's table. `params` may be nullptr.
std::optional<Failure> bind(const Method& method, const boost::json::value* params, Arguments& into);
/// Checks one value against its line of the table; `path` names it in the failure.
std::optional<Failure> check(const Parameter& parameter, const boost::json::value& value, std::string_view path);

/// Reads typed parameters (rpc/binary_body.h) to where they end.
std::optional<Failure> bind_typed(const Method& method, ByteReader& reader, Arguments& into);
/// All of a body.
std::optional<Failure> bind_typed(const Method& method, ByteView body, Arguments& into);

/// The first parameter that must be there and is not.
std::optional<Failure> find_missing(const Method& method, const Arguments& arguments);
/// What is wrong in one element of `messages`.
Failure in_element(Failure failure, std::size_t index);

}  // namespace qh::rpc
