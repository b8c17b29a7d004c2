// rpc/calls.h - what every codec asks of one dispatcher. Private to rpc/.
#pragma once

#include <optional>

#include "rpc/call.h"
#include "rpc/dispatcher.h"
#include "rpc/failure.h"
#include "rpc/method.h"

namespace qh::rpc {

struct Calls {
  Services services;
  bool stopping = false;

  bool has(const Method* method) const { return method != nullptr && is_there(*method, services); }
  /// Why this caller may not run it now.
  std::optional<Failure> refusal(const Method& method, const Caller& caller) const;
  void touched() {
    if (services.touched) services.touched();
  }
};

/// -32600
Failure invalid_request(std::string_view field, std::string expected);
/// Text that is no JSON, or is nested too deep.
Failure unreadable(const Error& error);

}  // namespace qh::rpc
