// rpc/call.h - what a method's handler is given. Private to rpc/.
#pragma once

#include <cstdint>
#include <utility>

#include <boost/json/value.hpp>

#include "queue/engine.h"
#include "rpc/arguments.h"
#include "rpc/caller.h"
#include "rpc/dispatcher.h"
#include "rpc/replies.h"

namespace qh::rpc {

class Call {
 public:
  Call(Services& s, const Caller& who, Answer to) : services(s), caller(who), answer(std::move(to)) {}

  Services& services;
  const Caller& caller;
  Arguments arguments;
  Answer answer;

  queue::Engine& engine() const { return services.engine; }
};

/// A completion that answers with `convert` of the value, which an Outcome can be made of, or with the error.
template <class T, class Convert>
auto answer_by(Call& call, Convert convert) {
  return [answer = std::move(call.answer), convert](Result<T> result) mutable {
    if (result) {
      answer.ok(convert(std::move(*result)));
    } else {
      answer.fail(result.error());
    }
  };
}
/// The same where the value is an Outcome already.
template <class T>
auto answer_by(Call& call) {
  return answer_by<T>(call, [](T value) { return value; });
}

boost::json::value integer_json(std::uint64_t value);

}  // namespace qh::rpc
