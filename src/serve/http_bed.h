// serve/http_bed.h - a validator's HTTP port with bounds of a test, and what its clients ask. For the tests of this
// room.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "rpc/test_bed.h"
#include "serve/rpc_front.h"
#include "serve/test_peer.h"

namespace qh::serve::http {

/// A front with small bounds on a loop of its own; the queue answers what needs no disk.
class Served {
 public:
  explicit Served(const HttpBounds& bounds) {
    options_.listen = {"127.0.0.1"};
    options_.bounds = bounds;
    for (std::uint16_t port = 21'000 + static_cast<std::uint16_t>(::getpid() % 9'000);; ++port) {
      front_ = make_rpc_front(loop_, {.validator = "alice", .port = port}, options_);
      if (front_->bind()) {
        port_ = port;
        break;
      }
    }
    EXPECT_TRUE(front_->listen(bed_.dispatcher()));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Served() {
    boost::asio::post(loop_, [this] {
      front_->begin_stop();
      front_->finish([this] { loop_.stop(); });
    });
    thread_.join();
    front_.reset();
  }
  std::uint16_t port() const { return port_; }

 private:
  rpc::TestBed bed_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop_.get_executor()};
  RpcFrontOptions options_;
  std::unique_ptr<node::Front> front_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

inline const std::string kName = R"({"jsonrpc":"2.0","method":"qssh_getValidatorName","id":1})";
inline const std::string kCall =
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(kName.size()) + "\r\n\r\n" + kName;

inline std::string post(std::string_view method, std::string_view params) {
  const auto body =
      R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(method) + R"(","params":)" + std::string(params) + "}";
  return "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline constexpr std::size_t kAnswerBytes = 2'000'000;  ///< and a little: four messages as hex

inline void fill_queue(std::uint16_t port) {
  const Peer peer(port);
  for (int i = 0; i < 4; ++i) {
    peer.send(
        post("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x)" + std::string(500'000, '0') + R"("}})"));
    EXPECT_TRUE(peer.reads("message_id"));
  }
}

/// Of some 16 MB, far more than the systems hold on the way to a peer with a small buffer. `last`: one call more.
inline std::string large_call(std::string_view last = "", std::string_view connection = "close") {
  std::string body = "[";
  for (int i = 0; i < 8; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"jsonrpc":"2.0","id":1,"method":"qssh_peek","params":{"count":4}})";
  body += std::string(last) + "]";
  return "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: " + std::string(connection) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline constexpr std::size_t kLargeBytes = 8 * kAnswerBytes;

/// Asks for far more than the system holds for a reader that does not come: 800 MB.
inline void ask_and_never_read(const Peer& peer) {
  for (int i = 0; i < 400; ++i) peer.send(post("qssh_peek", R"({"count":4})"));
}

inline const std::string kLastCall =
    "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + std::to_string(kName.size()) +
    "\r\n\r\n" + kName;

inline std::string short_call(std::uint16_t port) {
  const Peer peer(port);
  peer.send(kLastCall);
  return peer.until_end();
}

/// Until an answer to a short call starts so.
inline ::testing::AssertionResult comes_to_answer(std::uint16_t port, std::string_view start) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    last = short_call(port);
    if (last.starts_with(start)) return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << last;
}

/// With its answer read, what stands behind that call has been seen, too.
inline void call_and_go_on(const Peer& peer, std::string_view behind) {
  peer.send(kCall + std::string(behind));
  EXPECT_TRUE(peer.reads("alice"));
}

}  // namespace qh::serve::http
