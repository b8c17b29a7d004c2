// The bounds of the binary port, over sockets: time, connections, and bytes that nobody reads.

#include "serve/binary_server.h"

#include <unistd.h>

#include <list>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "rpc/binary_body.h"
#include "rpc/binary_link.h"
#include "rpc/method.h"
#include "rpc/test_bed.h"
#include "serve/test_peer.h"

namespace qh::serve {
namespace {

using std::chrono::milliseconds;

/// A port with small bounds on a loop of its own; the queue answers what needs no disk.
class Served {
 public:
  explicit Served(const BinaryBounds& bounds) {
    for (std::uint16_t port = 21'000 + static_cast<std::uint16_t>(::getpid() % 9'000);; ++port) {
      server_ = std::make_unique<BinaryServer>(
          loop_, BinaryServerSettings{.name = "alice", .port = port, .listen = {"127.0.0.1"}, .bounds = bounds});
      if (server_->bind()) {
        port_ = port;
        break;
      }
    }
    EXPECT_TRUE(server_->listen(bed_.dispatcher()));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Served() {
    boost::asio::post(loop_, [this] {
      server_->begin_stop();
      server_->finish([this] { loop_.stop(); });
    });
    thread_.join();
    server_.reset();
  }
  std::uint16_t port() const { return port_; }

 private:
  rpc::TestBed bed_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop_.get_executor()};
  std::unique_ptr<BinaryServer> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

std::string preface() {
  Bytes out;
  rpc::binary::put_preface(out);
  return std::string(as_text(out));
}

std::string call(std::string_view method, std::string_view params = "[]", std::uint64_t id = 1) {
  Bytes out;
  rpc::binary::put_json_request(out, id, rpc::find_method(method)->number, params);
  return std::string(as_text(out));
}

const std::string kName = call("qssh_getValidatorName");
const std::string kAnswer = R"("alice")";  ///< at the end of its frame

/// A client that is in: it has sent the preface and read ours.
class Client : public Peer {
 public:
  explicit Client(std::uint16_t port) : Peer(port) {
    send(preface());
    EXPECT_TRUE(reads(preface()));
  }
};

TEST(BinaryServerThreads, WhatTakesTooLongEnds) {
  const Served served(
      {.preface_within = milliseconds(300), .frame_within = milliseconds(300), .idle_within = milliseconds(300)});
  const Peer silent(served.port()), in_the_preface(served.port());
  const Client idle(served.port()), after_a_call(served.port()), in_the_header(served.port()),
      in_the_body(served.port()), waiting(served.port());
  waiting.send(call("qssh_popMessage", R"({"wait_ms":60000})"));
  in_the_preface.send(preface().substr(0, 3));
  after_a_call.send(kName);
  in_the_header.send(kName.substr(0, 5));
  in_the_body.send(kName.substr(0, kName.size() - 1));
  EXPECT_EQ(silent.until_end(), "");
  EXPECT_EQ(in_the_preface.until_end(), "");
  EXPECT_EQ(idle.until_end(), "");
  EXPECT_TRUE(after_a_call.until_end().ends_with(kAnswer));
  EXPECT_EQ(in_the_header.until_end(), "");
  EXPECT_EQ(in_the_body.until_end(), "");
  EXPECT_FALSE(waiting.hears_within(0)) << "a call under way has its own bound";
  Bytes cancel;
  rpc::binary::put_cancel(cancel, 1);
  waiting.send(as_text(cancel));
  EXPECT_TRUE(waiting.reads("Timeout"));
}

TEST(BinaryServerThreads, ATrickleBuysNoTimeAndOthersAreAnswered) {
  const Served served({.frame_within = milliseconds(500), .idle_within = milliseconds(500)});
  const Client slow(served.port()), other(served.port());
  const auto large = call("qssh_getValidatorName", std::string(100'000, ' ') + "[]");
  std::size_t at = 0;
  while (!slow.hears_within(20) && at < large.size()) {
    slow.try_to_send(large.substr(at++, 1));
    other.send(kName);
    EXPECT_TRUE(other.reads(kAnswer));
  }
  EXPECT_EQ(slow.until_end(), "");
}

/// There is always a frame that has begun, but each comes in its time; also the first, whose begin came with the
/// preface.
TEST(BinaryServerThreads, AStreamWhoseReadsEndInsideOfFramesGoesOn) {
  const Served served({.preface_within = milliseconds(1'000), .frame_within = milliseconds(1'000)});
  const Peer peer(served.port());
  const auto half = kName.size() / 2;
  peer.send(preface() + kName.substr(0, half));
  EXPECT_TRUE(peer.reads(preface()));
  const auto end = std::chrono::steady_clock::now() + milliseconds(3'000);
  int answered = 0;
  for (; std::chrono::steady_clock::now() < end; ++answered) {
    EXPECT_FALSE(peer.hears_within(100));
    peer.send(kName.substr(half) + kName.substr(0, half));
    ASSERT_TRUE(peer.reads(kAnswer)) << answered;
  }
  EXPECT_GT(answered, 1);
}

TEST(BinaryServerThreads, ConnectionsAreBounded) {
  const Served served({.connections = 2});
  const Client one(served.port()), two(served.port());
  {
    const Peer third(served.port());
    const auto word = third.until_end();
    EXPECT_TRUE(word.starts_with(preface())) << word;
    EXPECT_NE(word.find("too many connections"), word.npos) << word;
  }
  one.send(kName);
  EXPECT_TRUE(one.reads(kAnswer)) << "those that are in stay in";
}

TEST(BinaryServerThreads, APlaceThatWasLeftIsTaken) {
  const Served served({.connections = 1});
  { const Client gone(served.port()); }
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(kPatienceMs);
  for (;;) {
    const Peer next(served.port());
    next.try_to_send(preface() + kName);
    if (next.reads(kAnswer)) return;
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
}

constexpr auto kCallsMax = rpc::BinaryLink::kOpenCallsMax;

std::string waits(std::size_t count) {
  std::string all;
  for (std::uint64_t id = 1; id <= count; ++id) all += call("qssh_popMessage", R"({"wait_ms":60000})", id);
  return all;
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

/// Twice as many waits as may be under way: half of them have no room while the others wait.
TEST(BinaryServerThreads, TheEndIsSeenAlsoWithoutRoomForAnotherCall) {
  const Served served({});
  const Client full(served.port());
  full.send(waits(2 * kCallsMax));
  EXPECT_FALSE(full.hears_within(0));
  full.end_sending();
  const auto all = full.until_end();
  EXPECT_EQ(count_of(all, "nothing was taken"), 2 * kCallsMax) << all.substr(0, 300);
  EXPECT_EQ(all.find("still open"), all.npos);
}

/// Its end could not be seen behind them.
TEST(BinaryServerThreads, WaitsEndWhereRequestsWithoutRoomFillTheBuffer) {
  const Served served({});
  const Client full(served.port());
  std::string behind;
  while (behind.size() < 2 * (64U << 10)) behind += call("qssh_getValidatorName", "[]", kCallsMax + 1);
  full.send(waits(kCallsMax) + behind);
  EXPECT_TRUE(full.reads(kAnswer));
}

TEST(BinaryServerThreads, ACancelIsCarriedOutAlsoWithoutRoomForAnotherCall) {
  const Served served({});
  const Client full(served.port());
  full.send(waits(kCallsMax) + call("qssh_getValidatorName", "[]", kCallsMax + 1));
  EXPECT_FALSE(full.hears_within(0));
  Bytes cancel;
  rpc::binary::put_cancel(cancel, 7);
  full.send(as_text(cancel));
  EXPECT_TRUE(full.reads(kAnswer)) << "and the one behind them has its room";
}

void fill_queue(std::uint16_t port) {
  const Client client(port);
  for (int i = 0; i < 4; ++i) {
    client.send(call("qssh_submitMessage", R"({"message":{"Gossip":{"topic":"t","data":"0x)" +
                                               std::string(500'000, '0') + R"("}},"durability":"async"})"));
    EXPECT_TRUE(client.reads("message_id"));
  }
}

std::string peeks(int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += call("qssh_peek", R"({"count":4})", static_cast<std::uint64_t>(i) + 1);
  return all;
}

TEST(BinaryServerThreads, WhoNeverReadsIsClosedInTime) {
  const Served served({.write_within = milliseconds(500)});
  fill_queue(served.port());
  const Client silent(served.port());
  silent.send(peeks(400));  // 800 MB of answers
  const Client other(served.port());
  other.send(kName);
  EXPECT_TRUE(other.reads(kAnswer)) << "the others go on";
  EXPECT_TRUE(silent.is_reset());
}

TEST(BinaryServerThreads, AnswersThatNobodyReadsHoldUpNewRequestsUntilTheyHaveGone) {
  const Served served({.write_within = milliseconds(3'000), .buffered_bytes = 1'100'000});
  fill_queue(served.port());
  std::list<Peer> silent;
  // How much of an answer the system takes at once is its own affair, so it is not known which of them is the first.
  const auto is_answered = [&] {
    const auto& next = silent.emplace_back(served.port());
    next.send(preface() + peeks(400));
    return next.hears_within(500);
  };
  while (is_answered()) ASSERT_LT(silent.size(), 100U) << "nobody is held up";
  EXPECT_TRUE(silent.front().is_reset());
  EXPECT_TRUE(silent.back().hears_within(kPatienceMs)) << "held up, not refused";
}

/// Its requests have all been read when the port comes to hold too much: nothing more will come that could wake it.
TEST(BinaryServerThreads, WhatWasReadBeforeTheLoadIsAnsweredBehindIt) {
  const Served served({.write_within = milliseconds(3'000), .buffered_bytes = 3'000'000});
  for (int i = 0; i < 5; ++i) fill_queue(served.port());
  const Client good(served.port());
  constexpr int kRequests = 100;
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += call("qssh_peek", R"({"count":1})", static_cast<std::uint64_t>(i) + 1);
  good.send(all);
  EXPECT_TRUE(good.hears_within(kPatienceMs));
  std::list<Peer> silent;
  const auto is_answered = [&] {
    const auto& next = silent.emplace_back(served.port());
    next.send(preface());
    for (int i = 0; i < kRequests; ++i) next.send(call("qssh_peek", R"({"count":20})"));
    return next.hears_within(500);
  };
  while (is_answered()) ASSERT_LT(silent.size(), 50U) << "nobody is held up";
  constexpr std::size_t kBytes = kRequests * std::size_t{500'000};  // and a little: bodies as hex
  EXPECT_GE(good.reads_bytes(kBytes), kBytes);
}

}  // namespace
}  // namespace qh::serve
