// ws_echo [PORT] - sends back what it is sent, on the node's own WebSocket code: for conformance suites such as
// Autobahn's (wstest -m fuzzingclient, url ws://127.0.0.1:9001). It listens on loopback; Ctrl-C ends it.
#include <cstdio>
#include <cstdlib>

#include <boost/asio/io_context.hpp>

#include "serve/http_server.h"
#include "serve/ws_service.h"

int main(int argc, char** argv) {
  using namespace qh::serve;  // NOLINT(google-build-using-namespace)
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 9001);
  boost::asio::io_context loop;
  WsService echo({.bounds = {.message_bytes = 64U << 20}}, [](WsSession& session) {
    WsSession::Hooks hooks;
    hooks.message = [&session](std::string_view message, bool text) {
      session.send(std::make_shared<const std::string>(message), text);
    };
    return hooks;
  });
  HttpServer server(loop, {.name = "echo", .port = port, .port_flag_hint = "Choose another: ws_echo PORT"});
  auto ready = server.bind();
  if (ready) ready = server.listen(echo);
  if (!ready) return std::fprintf(stderr, "%s\n", ready.error().to_string().c_str()), 1;
  std::printf("ws://127.0.0.1:%u\n", port);
  std::fflush(stdout);
  loop.run();
}
