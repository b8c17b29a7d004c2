// rpc/failure.h - an error of JSON-RPC. Private to rpc/.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "base/result.h"
#include "rpc/codes.h"

namespace qh::rpc {

/// `outcome` of a take or lease that has ended without one.
inline constexpr std::string_view kNothingTaken = "nothing was taken";

struct Failure {
  Code code = Code::kInternal;
  std::string message;
  boost::json::object data;  ///< without `reason`, which the code gives

  Failure() = default;
  Failure(Code c, std::string text) : code(c), message(std::move(text)) {}
  Failure&& with(std::string_view member, boost::json::value value) && {
    data.emplace(member, std::move(value));
    return std::move(*this);
  }
};

/// What the engine or a codec refused.
Failure failure_of(const Error& error);
/// -32602. `expected` is the message; `data.expected` leaves out what came.
Failure bad_parameter(std::string_view field, std::string expected);
/// "expected X, got Y" as "expected X". What was expected is in our own words, which have no other ", got ".
std::string_view without_got(std::string_view text);

/// The object `data` as JSON text: `reason`, then the members.
std::string write_failure_data(const Failure& failure);
/// {"jsonrpc":"2.0","error":{..},"id":..}; `id` is JSON text.
std::string write_failure(const Failure& failure, std::string_view id);
/// {"jsonrpc":"2.0","result":..,"id":..}
std::string write_result(const boost::json::value& result, std::string_view id);

}  // namespace qh::rpc
