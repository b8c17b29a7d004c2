#include "serve/ws_service.h"

#include <future>
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
  void publish(std::string state) {
    std::promise<void> done;
    boost::asio::post(loop_, [&] {
      service_.send_state(std::make_shared<const std::string>(std::move(state)));
      done.set_value();
    });
    done.get_future().wait();
  }

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

/// RFC 6455 section 5.2: small ones, a server's without a mask.
struct Frame {
  char first = 0;
  std::string payload;
  bool operator==(const Frame&) const = default;
};
Frame text(std::string payload) { return {'\x81', std::move(payload)}; }
Frame ping(std::string payload) { return {'\x89', std::move(payload)}; }
Frame pong(std::string payload) { return {'\x8a', std::move(payload)}; }

/// A WebSocket that reads when it is told to.
class Reader {
 public:
  explicit Reader(std::uint16_t port) : peer_(port) {
    peer_.send(kUpgrade);
    EXPECT_TRUE(peer_.reads("\r\n\r\n"));
  }
  Frame next() {
    constexpr std::size_t kHead = 2;
    while (come_.size() < kHead || come_.size() < kHead + static_cast<unsigned char>(come_[1])) {
      const auto more = peer_.read_some();
      if (more.empty()) return text("(no more)");
      come_ += more;
    }
    Frame frame{come_[0], come_.substr(kHead, static_cast<unsigned char>(come_[1]))};
    come_.erase(0, kHead + frame.payload.size());
    return frame;
  }
  void send(const Frame& frame) const { peer_.send(bytes(frame)); }
  void try_to_send(const Frame& frame) const { peer_.try_to_send(bytes(frame)); }
  /// What it hears meanwhile it does not keep. False: the other side has ended.
  bool goes_on(int milliseconds) const { return !peer_.hears_within(milliseconds) || !peer_.read_some().empty(); }
  /// Answers all pings on its way.
  std::string next_text() {
    for (;;) {
      auto frame = next();
      if (frame.first == text("").first) return std::move(frame.payload);
      if (frame.first == ping("").first) send(pong(frame.payload));
    }
  }

 private:
  static std::string bytes(const Frame& frame) {
    const char length = static_cast<char>(0x80 | frame.payload.size());
    return std::string{frame.first, length, 0, 0, 0, 0} + frame.payload;
  }

  Peer peer_;
  std::string come_;
};

TEST(WsServiceThreads, WhoStandsStillFindsOneOldStateAndThenTheNewest) {
  Served served({});
  Reader sleeper(served.port());
  for (int i = 1; i <= 100; ++i) {
    served.publish(std::to_string(i));
    sleeper.send(pong(""));  // it says that it is there, and reads nothing
  }
  sleeper.send(ping("all of that has been seen"));
  std::vector<std::string> found;
  for (auto frame = sleeper.next(); frame != pong("all of that has been seen"); frame = sleeper.next()) {
    if (frame.first == text("").first) found.push_back(frame.payload);
    ASSERT_NE(frame, text("(no more)"));
  }
  EXPECT_EQ(found, std::vector<std::string>{"1"});
  sleeper.send(pong("1"));
  EXPECT_EQ(sleeper.next_text(), "100");
  for (const char* state : {"101", "102", "103"}) {
    served.publish(state);
    EXPECT_EQ(sleeper.next_text(), state) << "who reads gets all";
  }
}

TEST(WsServiceThreads, WhoAnswersTheLastOfItsPingsAloneGetsTheNewestStateToo) {
  Served served({.idle = std::chrono::seconds(2)});
  Reader reader(served.port());
  served.publish("a");
  EXPECT_EQ(reader.next(), text("a"));
  EXPECT_EQ(reader.next(), ping("1"));
  served.publish("b");
  EXPECT_EQ(reader.next(), ping("")) << "for its silence";
  reader.send(pong(""));
  EXPECT_EQ(reader.next(), ping("1"));
  reader.send(pong("1"));
  EXPECT_EQ(reader.next(), text("b"));
}

TEST(WsServiceThreads, WhoAnswersWithoutWhatItWasAskedIsAskedOnceMoreOnly) {
  Served served({});
  Reader reader(served.port());
  served.publish("a");
  EXPECT_EQ(reader.next(), text("a"));
  EXPECT_EQ(reader.next(), ping("1"));
  reader.send(pong(""));
  EXPECT_EQ(reader.next(), ping("1"));
  reader.send(pong(""));
  reader.send(pong("0"));
  reader.send(ping("all of that has been seen"));
  EXPECT_EQ(reader.next(), pong("all of that has been seen"));
  served.publish("b");
  reader.send(pong("1"));
  EXPECT_EQ(reader.next(), text("b"));
  EXPECT_EQ(reader.next(), ping("2"));
  reader.send(pong(""));
  EXPECT_EQ(reader.next(), ping("2")) << "of each state";
}

TEST(WsServiceThreads, WhoLeavesAStateUnreadIsGivenUpHoweverMuchItSends) {
  Served served({.idle = std::chrono::seconds(1)});
  Reader reads(served.port()), does_not(served.port());
  served.publish("a");
  EXPECT_EQ(reads.next_text(), "a");
  EXPECT_EQ(reads.next(), ping("1"));
  reads.send(pong("1"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  do {
    reads.send(text("x"));
    does_not.try_to_send(text("x"));
  } while (does_not.goes_on(50) && std::chrono::steady_clock::now() < deadline);
  EXPECT_LT(std::chrono::steady_clock::now(), deadline);
  served.publish("b");
  EXPECT_EQ(reads.next_text(), "b") << "it has no other time";
}

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
