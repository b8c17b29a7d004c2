// rpc/call.h - what a method's handler is given. Private to rpc/.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "queue/engine.h"
#include "rpc/caller.h"
#include "rpc/exchange.h"
#include "rpc/method.h"

namespace qh::rpc {

/// The parameters of a call, by name, checked against the table: what is there has its type and range.
/// They point into the parsed body, so a handler takes what it needs before it returns.
class Arguments {
 public:
  const boost::json::value* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::optional<std::uint64_t> integer(std::string_view name) const;
  std::uint64_t integer_or(std::string_view name, std::uint64_t fallback) const {
    return integer(name).value_or(fallback);
  }
  std::optional<double> number(std::string_view name) const;
  std::string_view text(std::string_view name) const;
  bool flag(std::string_view name) const;
  std::optional<Duration> milliseconds(std::string_view name) const;
  queue::KindMask kinds(std::string_view name = "kinds") const;  ///< all when it is not there
  std::vector<std::uint64_t> ids(std::string_view name) const;

  void add(std::string_view name, const boost::json::value* value) { values_.emplace_back(name, value); }

 private:
  std::vector<std::pair<std::string_view, const boost::json::value*>> values_;
};

/// Lays params out by the method's table. `params` may be nullptr.
std::optional<Failure> bind(const Method& method, const boost::json::value* params, Arguments& into);
/// Checks one value against its line of the table; `path` names it in the failure.
std::optional<Failure> check(const Parameter& parameter, const boost::json::value& value, std::string_view path);

class Call {
 public:
  Call(Services& s, const Caller& who, Answer to) : services(s), caller(who), answer(std::move(to)) {}

  Services& services;
  const Caller& caller;
  Arguments arguments;
  Answer answer;

  queue::Engine& engine() const { return services.engine; }
};

/// A completion that answers with `to_json` of the value, or with the error.
template <class T, class ToJson>
auto answer_by(Call& call, ToJson to_json) {
  return [answer = std::move(call.answer), to_json](Result<T> result) mutable {
    if (result) {
      answer.ok(to_json(std::move(*result)));
    } else {
      answer.fail(result.error());
    }
  };
}

boost::json::value integer_json(std::uint64_t value);

}  // namespace qh::rpc
