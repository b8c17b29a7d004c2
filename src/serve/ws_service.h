// serve/ws_service.h - WebSockets on one path of a port.
//
//   WsService echo({.path = "/"}, [](WsSession& session) {
//     return WsSession::Hooks{.message = [&](std::string_view m, bool text) { session.send(copy(m), text); }};
//   });
//
// Bounds   sessions; the bounds of each stand in ws_session.h.
// Threads  the loop of its server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "serve/descriptors.h"
#include "serve/http_service.h"
#include "serve/ws_session.h"

namespace qh::serve {

class WsService final : public HttpService {
 public:
  struct Settings {
    std::string path = "/";
    std::string hint = {};  ///< what other requests are told; empty: where it is
    WsBounds bounds = {};
    ConnectionBound sessions_max = 1024;
  };
  /// Called for each one that comes, before its handshake. What it sends goes out as soon as that is done. The session
  /// lives until its `closed`, which is for the service and not called.
  using Welcome = std::function<WsSession::Hooks(WsSession& session)>;

  WsService(Settings settings, Welcome welcome) : settings_(std::move(settings)), welcome_(std::move(welcome)) {}

  /// WsSession::send_state() to everybody.
  void send_state(const std::shared_ptr<const std::string>& state);
  /// Says goodbye to everybody.
  void stop();

  std::optional<HttpAnswer> refuses_target(const RequestHead& head) override;
  std::optional<HttpAnswer> refuses_caller(const RequestHead& head, const rpc::Caller* caller) override;
  HttpAnswer too_large(const std::string& why, std::size_t limit, std::uint64_t size) const override;
  CallId handle(const RequestHead& head, std::string_view body, const rpc::Caller& caller, Done done) override;
  bool upgrades(const RequestHead&) const override { return true; }
  void take(Connection connection, std::string begin) override;

 private:
  std::string hint() const;

  Settings settings_;
  Welcome welcome_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<WsSession>> sessions_;
};

}  // namespace qh::serve
