#include "serve/node_ports.h"

#include <chrono>
#include <utility>

#include "node/start_screen.h"

namespace qh::serve {
namespace {

HttpServerSettings server_settings(const NodePortsSettings& settings, std::string name, std::uint16_t port,
                                   std::string hint) {
  return {
      .name = std::move(name),
      .port = port,
      .listen = settings.listen,
      .port_flag_hint = "Stop it, or choose another: " + std::move(hint) + "; --port-offset N moves every port",
      .access = settings.access,
      .bounds = {.request = {.body_bytes = 64U << 10}, .connections = settings.connections, .slowest_gives_way = true}};
}

WsService::Settings metrics_settings(const std::string& host, std::uint16_t port, const ConnectionBound& connections) {
  const std::string path(kMetricsPath);
  return {.path = path,
          .hint = "the metrics are a WebSocket at ws://" + host + ":" + std::to_string(port) + path,
          .bounds = {.message_bytes = 4096},
          .sessions_max = connections};
}

}  // namespace

NodePorts::NodePorts(boost::asio::io_context& loop, NodePortsSettings settings, WebService::Source source)
    : settings_(std::move(settings)),
      ticker_(loop),
      web_({.version = settings_.version,
            .started_at = SystemClock().wall(),
            .started_mono = SystemClock().mono(),
            .metrics_port = settings_.metrics_port},
           std::move(source)),
      metrics_(metrics_settings(node::shown_host(settings_.listen), settings_.metrics_port, settings_.connections),
               [this](WsSession& session) {
                 if (newest_) session.send_state(newest_);
                 return WsSession::Hooks();
               }) {
  if (settings_.web_port != 0) {
    web_server_ = std::make_unique<HttpServer>(
        loop, server_settings(settings_, "web", settings_.web_port, "--web-port PORT (0 for none)"));
  }
  if (settings_.metrics_port == 0) return;
  auto server = server_settings(settings_, "metrics", settings_.metrics_port, "--metrics-port PORT (0 for none)");
  server.access.own_web_port = settings_.web_port;  // its page reads the metrics
  metrics_server_ = std::make_unique<HttpServer>(loop, std::move(server));
}

std::vector<Error> NodePorts::bind() {
  std::vector<Error> errors;
  for (auto* server : {web_server_.get(), metrics_server_.get()}) {
    if (server == nullptr) continue;
    if (auto bound = server->bind(); !bound) errors.push_back(std::move(bound.error()));
  }
  return errors;
}

std::vector<Error> NodePorts::listen() {
  std::vector<Error> errors;
  const auto start = [&](HttpServer* server, HttpService& service) {
    if (server == nullptr) return;
    if (auto listening = server->listen(service); !listening) errors.push_back(std::move(listening.error()));
  };
  start(web_server_.get(), web_);
  start(metrics_server_.get(), metrics_);
  if (metrics_server_) tick();
  return errors;
}

void NodePorts::tick() {
  newest_ = std::make_shared<const std::string>(web_.socket_json());
  metrics_.send_state(newest_);
  ticker_.expires_after(std::chrono::seconds(1));
  ticker_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

void NodePorts::finish(UniqueFunction<void()> done) {
  ticker_.cancel();
  metrics_.stop();
  auto remaining = std::make_shared<int>(0);
  auto last = std::make_shared<UniqueFunction<void()>>(std::move(done));
  for (auto* server : {web_server_.get(), metrics_server_.get()}) {
    if (server == nullptr) continue;
    ++*remaining;
    server->begin_stop();
    server->finish([remaining, last] {
      if (--*remaining == 0) (*last)();
    });
  }
  if (*remaining == 0) (*last)();
}

}  // namespace qh::serve
