// rpc/validator_name.h - what a validator may be called.
//
// Threads  constants and a pure function.
#pragma once

#include <algorithm>
#include <string_view>

namespace qh::rpc {

/// What is_validator_name() asks for, for people.
inline constexpr std::string_view kValidatorNames =
    "it has at most 32 of a-z, 0-9 and -, begins with a letter or digit, and is not aggregate";
/// The same for programs, but for this one, which is a key of the metrics.
inline constexpr std::string_view kValidatorPattern = "^[a-z0-9][a-z0-9-]{0,31}$";
inline constexpr std::string_view kNoValidator = "aggregate";

constexpr bool is_validator_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 32 && plain(name.front()) && name != kNoValidator &&
         std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-'; });
}

}  // namespace qh::rpc
