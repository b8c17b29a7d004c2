#include "serve/ws_service.h"

#include <optional>
#include <thread>

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "serve/http_server.h"
#include "serve/test_peer.h"

namespace qh::serve {
namespace {

/// A port of WebSockets that says nothing by itself.
class Served {
 public:
  explicit Served(const WsBounds& bounds)
      : service_({.bounds = bounds}, [](WsSession&) { return WsSession::Hooks(); }) {
    for (port_ = 31'000 + static_cast<std::uint16_t>(::getpid() % 1'000);; ++port_) {
      server_.emplace(loop_, HttpServerSettings{.name = "test",
                                                .port = port_,
                                                .listen = {"127.0.0.1"},
                                                .bounds = {.header_within = std::chrono::milliseconds(300)}});
      if (server_->bind()) break;
    }
    EXPECT_TRUE(server_->listen(service_));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Served() {
    boost::asio::post(loop_, [this] {
      service_.stop();
      server_->begin_stop();
      server_->finish([this] { loop_.stop(); });
    });
    thread_.join();
  }
  std::uint16_t port() const { return port_; }

 private:
  boost::asio::io_context loop_{1};
  WsService service_;
  std::optional<HttpServer> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

constexpr std::string_view kUpgrade =
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr std::string_view kPing("\x89\x00", 2);                  // RFC 6455 section 5.5.2, without a mask
constexpr std::string_view kPong("\x8a\x80\x01\x02\x03\x04", 6);  // a client's has one

/// A peer that has vanished without a word cannot be told from one that is silent: it is asked, and then given up.
TEST(WsServiceThreads, WhoDoesNotAnswerPingsIsGivenUpAndWhoDoesStays) {
  const Served served({.idle = std::chrono::seconds(2)});
  const Peer vanished(served.port()), there(served.port());
  vanished.send(kUpgrade);
  there.send(kUpgrade);
  EXPECT_TRUE(there.reads("\r\n\r\n"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(there.reads(kPing)) << "ping " << i;
    there.send(kPong);
  }
  const auto heard = vanished.until_end();
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 101 "));
  EXPECT_NE(heard.find(kPing), heard.npos);
  EXPECT_FALSE(heard.ends_with("(still open)"));
  EXPECT_TRUE(there.reads(kPing)) << "longer than the silence of the other one";
}

TEST(WsServiceThreads, WhoDoesNotEndItsHandshakeIsGivenUp) {
  const Served served({});
  const Peer slow(served.port());
  slow.send(kUpgrade.substr(0, 40));
  EXPECT_TRUE(slow.until_end().starts_with("HTTP/1.1 408 "));
}

}  // namespace
}  // namespace qh::serve
