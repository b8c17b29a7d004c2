// serve/node_ports.h - the ports of the node as a whole: the web port and the metrics WebSocket.
//
// Threads  the node's loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/result.h"
#include "serve/http_server.h"
#include "serve/web_service.h"
#include "serve/ws_service.h"

namespace qh::serve {

inline constexpr std::string_view kMetricsPath = "/qssh-queue-metrics";

struct NodePortsSettings {
  std::uint16_t web_port = 0, metrics_port = 0;  ///< 0: none
  std::vector<std::string> listen;
  AccessRules access;
  ConnectionBound connections = 1024;  ///< of each of the two ports, and once more of WebSockets
  std::string version;
};

class NodePorts {
 public:
  NodePorts(boost::asio::io_context& loop, NodePortsSettings settings, WebService::Source source);

  /// Takes the ports; what could not be taken.
  std::vector<Error> bind();
  /// Answers from now on, and sends the figures each second.
  std::vector<Error> listen();
  /// Says goodbye to who listens, lets answers go out, then calls `done`.
  void finish(UniqueFunction<void()> done);

 private:
  void tick();

  NodePortsSettings settings_;
  boost::asio::steady_timer ticker_;
  WebService web_;
  std::shared_ptr<const std::string> newest_;  ///< what the metrics WebSocket has sent last
  WsService metrics_;
  // Last: their sessions use the services.
  std::unique_ptr<HttpServer> web_server_, metrics_server_;
};

}  // namespace qh::serve
