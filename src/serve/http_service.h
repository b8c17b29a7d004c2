// serve/http_service.h - what a port answers, behind the framing, the bounds and the access rules of every port.
//
// Threads  the loop of its server (http_server.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_function.h"
#include "rpc/caller.h"
#include "serve/connection.h"
#include "serve/http_request.h"

namespace qh::serve {

/// An answer without what depends on its connection. Refusals are answers too.
struct HttpAnswer {
  int status = 200;
  std::string body = {};
  std::string_view type = "application/json";
  std::string fields = {};  ///< more header lines, each with its CRLF
};
/// A line of text, as refusals are.
HttpAnswer text_answer(int status, std::string line, std::string fields = {});

/// Of a port that only tells: 401 without a caller, 403 for one without the role `read`.
std::optional<HttpAnswer> refuses_reader(const rpc::Caller* caller);

/// A browser asks whether a page of another origin may send a request (Fetch standard, section 4.8).
bool is_preflight(const RequestHead& head);
/// The target's path and query; RFC 9112 section 3.2.2: a proxy asks with the whole URL.
std::string_view path_of(std::string_view target);
/// host:port of such a URL; nothing for a path alone.
std::string_view authority_of(std::string_view target);

class HttpService {
 public:
  using CallId = std::uint64_t;
  using Done = UniqueFunction<void(HttpAnswer)>;

  virtual ~HttpService() = default;

  /// Whether this path and method exist. Asked with a request's head, before its body is read; nothing: go on.
  virtual std::optional<HttpAnswer> refuses_target(const RequestHead& head) = 0;
  /// Asked next. Nobody: a token is needed and there is none, or not a known one.
  virtual std::optional<HttpAnswer> refuses_caller(const RequestHead& head, const rpc::Caller* caller) = 0;
  /// A body of more than `limit` bytes was announced (`size`; 0: not known), or has come.
  virtual HttpAnswer too_large(const std::string& why, std::size_t limit, std::uint64_t size) const = 0;
  /// Whole header lines that stand in every answer of this port, refusals too.
  virtual std::string_view common_fields() const { return {}; }
  /// Bytes of answers that are made and wait for others.
  virtual std::uint64_t held_bytes() const { return 0; }
  /// The same of one call that is under way.
  virtual std::uint64_t held_bytes(CallId) const { return 0; }
  /// Answers inside the call, and gives 0, or later. `head` and `body` are not needed any more when this returns.
  virtual CallId handle(const RequestHead& head, std::string_view body, const rpc::Caller& caller, Done done) = 0;
  /// Ends the waits of this call: nobody waits for its answer any more, or its answer is due now.
  virtual void abandon(CallId) {}

  /// Whether the connection goes on as a WebSocket after this head; take() is called then.
  virtual bool upgrades(const RequestHead&) const { return false; }
  /// `begin`: the bytes that have come, from the head on.
  virtual void take(Connection, std::string begin) { (void)begin; }
};

}  // namespace qh::serve
