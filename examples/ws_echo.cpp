// ws_echo [PORT] - sends back what it is sent, on the node's own WebSocket code: for conformance suites such as
// Autobahn's (wstest -m fuzzingclient, url ws://127.0.0.1:9001). It listens on loopback; Ctrl-C ends it.
#include <charconv>
#include <cstdio>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "serve/http_server.h"
#include "serve/ws_service.h"

int main(int argc, char** argv) {
  using namespace qh::serve;  // NOLINT(google-build-using-namespace)
  const std::string_view given = argc > 1 ? argv[1] : "9001";
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(given.begin(), given.end(), port);
  if (argc > 2 || error != std::errc() || end != given.end()) {
    const bool asked = argc == 2 && (given == "--help" || given == "-h");
    std::fputs("usage: ws_echo [PORT]   from 0 (any that is free) to 65535; 9001 without it\n",
               asked ? stdout : stderr);
    return asked ? 0 : 2;
  }
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
  std::printf("ws://127.0.0.1:%u\n", server.port());
  std::fflush(stdout);
  loop.run();
}
