// serve/binary_bed.h - a binary port and its clients, for tests.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "base/unique_function.h"
#include "rpc/binary_body.h"
#include "rpc/method.h"
#include "rpc/test_bed.h"
#include "serve/binary_server.h"
#include "serve/test_peer.h"

namespace qh::serve {

/// A port on a loop that nobody runs yet; the queue answers what needs no disk.
class Port {
 public:
  explicit Port(const BinaryBounds& bounds) {
    for (std::uint16_t port = 21'000 + static_cast<std::uint16_t>(::getpid() % 9'000);; ++port) {
      server_ = std::make_unique<BinaryServer>(
          loop_, BinaryServerSettings{.name = "alice", .port = port, .listen = {"127.0.0.1"}, .bounds = bounds});
      if (server_->bind()) {
        port_ = port;
        break;
      }
    }
    EXPECT_TRUE(server_->listen(bed_.dispatcher()));
  }
  std::uint16_t port() const { return port_; }
  BinaryServer& server() { return *server_; }
  boost::asio::io_context& loop() { return loop_; }

 private:
  rpc::TestBed bed_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop_.get_executor()};
  std::unique_ptr<BinaryServer> server_;  ///< it goes before its loop
  std::uint16_t port_ = 0;
};

/// One whose loop has a thread.
class Served {
 public:
  explicit Served(const BinaryBounds& bounds) : port_(bounds), thread_([this] { port_.loop().run(); }) {}
  ~Served() {
    boost::asio::post(port_.loop(), [this] {
      port_.server().begin_stop();
      port_.server().finish([this] { port_.loop().stop(); });
    });
    thread_.join();
  }
  std::uint16_t port() const { return port_.port(); }
  /// `work` on the loop's thread; waits for its end.
  void on_loop(UniqueFunction<void()> work) {
    std::promise<void> done;
    boost::asio::post(port_.loop(), [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  Port port_;
  std::thread thread_;
};

inline std::string preface() {
  Bytes out;
  rpc::binary::put_preface(out);
  return std::string(as_text(out));
}

inline std::string call(std::string_view method, std::string_view params = "[]", std::uint64_t id = 1) {
  Bytes out;
  rpc::binary::put_json_request(out, id, rpc::find_method(method)->number, params);
  return std::string(as_text(out));
}

inline const std::string kName = call("qssh_getValidatorName");
inline const std::string kAnswer = R"("alice")";  ///< at the end of its frame

/// A client that is in: it has sent the preface and read ours.
class Client : public Peer {
 public:
  explicit Client(std::uint16_t port, int receive_bytes = 0) : Peer(port, receive_bytes) {
    send(preface());
    EXPECT_TRUE(reads(preface()));
  }
};

inline void fill_queue(std::uint16_t port) {
  const Client client(port);
  for (int i = 0; i < 4; ++i) {
    client.send(call("qssh_submitMessage", R"({"message":{"Gossip":{"topic":"t","data":"0x)" +
                                               std::string(500'000, '0') + R"("}},"durability":"async"})"));
    EXPECT_TRUE(client.reads("message_id"));
  }
}

inline std::string peeks(int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += call("qssh_peek", R"({"count":4})", static_cast<std::uint64_t>(i) + 1);
  return all;
}

}  // namespace qh::serve
