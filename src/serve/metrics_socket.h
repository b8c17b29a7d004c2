// serve/metrics_socket.h - the metrics WebSocket: the newest figures at once, then whenever they are published.
//
// Bounds   kSocketsMax connections; a slow reader gets the newest object and misses those between.
// Threads  the node's loop.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "serve/http_service.h"
#include "serve/ws_session.h"

namespace qh::serve {

inline constexpr std::string_view kMetricsPath = "/qssh-queue-metrics";
inline constexpr std::size_t kSocketsMax = 1024;

class MetricsSocket final : public HttpService {
 public:
  explicit MetricsSocket(std::uint16_t port) : port_(port) {}

  void publish(std::string json);
  /// Says goodbye to everybody.
  void stop();

  std::optional<HttpAnswer> refuses_target(const RequestHead& head) override;
  std::optional<HttpAnswer> refuses_caller(const RequestHead& head, const rpc::Caller* caller) override;
  HttpAnswer too_large(const std::string& why, std::size_t limit, std::uint64_t size) const override;
  CallId handle(const RequestHead& head, std::string_view body, const rpc::Caller& caller, Done done) override;
  bool upgrades(const RequestHead&) const override { return true; }
  void take(boost::asio::ip::tcp::socket socket, std::string begin) override;

 private:
  std::uint16_t port_;
  std::shared_ptr<const std::string> newest_ = std::make_shared<const std::string>("{}");
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<WsSession>> sessions_;
};

}  // namespace qh::serve
