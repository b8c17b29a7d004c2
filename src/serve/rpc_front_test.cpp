#include "serve/rpc_front.h"

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "rpc/test_bed.h"
#include "serve/test_peer.h"

namespace qh::serve {
namespace {

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

const std::string kName = R"({"jsonrpc":"2.0","method":"qssh_getValidatorName","id":1})";
const std::string kCall =
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(kName.size()) + "\r\n\r\n" + kName;

TEST(RpcFrontThreads, WhatTakesTooLongEnds) {
  HttpBounds bounds;
  bounds.header_within = bounds.body_within = bounds.idle_within = std::chrono::milliseconds(300);
  const Served served(bounds);
  const Peer idle(served.port()), after_a_call(served.port()), in_the_header(served.port()), in_the_body(served.port());
  after_a_call.send(kCall);
  in_the_header.send("POST / HT");
  in_the_body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(idle.until_end(), "");
  EXPECT_TRUE(after_a_call.until_end().ends_with("\"result\":\"alice\",\"id\":1}\n"));
  EXPECT_TRUE(in_the_header.until_end().starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(in_the_body.until_end().starts_with("HTTP/1.1 408 "));
}

/// A byte now and then buys no time, and others are answered meanwhile.
TEST(RpcFrontThreads, ATrickleBuysNoTime) {
  HttpBounds bounds;
  bounds.header_within = bounds.body_within = std::chrono::milliseconds(500);
  bounds.linger = std::chrono::minutes(1);  // our bytes behind its refusal must not turn into a reset
  const Served served(bounds);
  const Peer header(served.port()), body(served.port()), chunks(served.port());
  header.send("POST / HTTP/1.1\r\nX: ");
  body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
  chunks.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const Peer other(served.port());
  const std::vector<std::pair<const Peer*, std::string_view>> slow{
      {&header, "x"}, {&body, "x"}, {&chunks, "1\r\nx\r\n"}};
  for (const auto& [peer, piece] : slow) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (!peer->hears_within(20) && std::chrono::steady_clock::now() < deadline) {
      for (const auto& [each, bytes] : slow) each->try_to_send(bytes);
      other.send(kCall);
      EXPECT_TRUE(other.reads("alice"));
    }
    EXPECT_TRUE(peer->hears_within(0));
  }
  for (const auto& [peer, piece] : slow) EXPECT_TRUE(peer->until_end().starts_with("HTTP/1.1 408 "));
}

bool comes_to_refuse(std::uint16_t port) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (std::chrono::steady_clock::now() < deadline) {
    const Peer peer(port);
    if (peer.hears_within(50)) return peer.until_end().starts_with("HTTP/1.1 503 ");
  }
  return false;
}

TEST(RpcFrontThreads, ConnectionsAreBounded) {
  HttpBounds bounds;
  bounds.connections = 2;
  const Served served(bounds);
  const Peer one(served.port()), two(served.port());
  one.send(kCall);
  two.send(kCall);
  EXPECT_TRUE(one.reads("alice"));
  EXPECT_TRUE(two.reads("alice"));
  EXPECT_TRUE(Peer(served.port()).until_end().starts_with("HTTP/1.1 503 "));
  one.send(kCall);
  EXPECT_TRUE(one.reads("alice")) << "those that are in stay in";
}

/// As on the web port, so that health checks are answered.
TEST(RpcFrontThreads, WhereIdleGivesWayTheLongestIdleConnectionIsClosedForANewOne) {
  HttpBounds bounds;
  bounds.connections = 2;
  bounds.slowest_gives_way = true;
  const Served served(bounds);
  const Peer silent(served.port()), used(served.port());
  used.send(kCall);
  EXPECT_TRUE(used.reads("alice"));
  const Peer third(served.port());
  third.send(kCall);
  EXPECT_TRUE(third.reads("alice"));
  EXPECT_EQ(silent.until_end(), "");
  used.send(kCall);
  EXPECT_TRUE(used.reads("alice")) << "it was idle for less long";
}

TEST(RpcFrontThreads, RequestBytesOfAllTogetherAreBounded) {
  HttpBounds bounds;
  bounds.buffered_bytes = 64U << 10;
  const Served served(bounds);
  const Peer small(served.port());
  small.send(kCall);
  EXPECT_TRUE(small.reads("alice"));
  const Peer large(served.port());
  large.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + std::string(200'000, 'x'));
  EXPECT_TRUE(large.until_end().starts_with("HTTP/1.1 503 "));
  small.send(kCall);
  EXPECT_TRUE(small.reads("alice"));
}

// -- Answers that nobody reads ------------------------------------------------------------------------------

std::string post(std::string_view method, std::string_view params) {
  const auto body =
      R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(method) + R"(","params":)" + std::string(params) + "}";
  return "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

constexpr std::size_t kAnswerBytes = 2'000'000;  ///< and a little: four messages as hex

void fill_queue(std::uint16_t port) {
  const Peer peer(port);
  for (int i = 0; i < 4; ++i) {
    peer.send(
        post("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x)" + std::string(500'000, '0') + R"("}})"));
    EXPECT_TRUE(peer.reads("message_id"));
  }
}

/// Asks for far more than the system holds for a reader that does not come: 800 MB.
void ask_and_never_read(const Peer& peer) {
  for (int i = 0; i < 400; ++i) peer.send(post("qssh_peek", R"({"count":4})"));
}

std::string short_call(std::uint16_t port) {
  const Peer peer(port);
  peer.send("POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
            std::to_string(kName.size()) + "\r\n\r\n" + kName);
  return peer.until_end();
}

/// Until an answer to a short call starts so.
::testing::AssertionResult comes_to_answer(std::uint16_t port, std::string_view start) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    last = short_call(port);
    if (last.starts_with(start)) return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << last;
}

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// One holds one answer in memory, however many it has asked for, and is closed in time.
TEST(RpcFrontThreads, WhoNeverReadsHoldsOneAnswerAndIsClosed) {
  HttpBounds bounds;
  bounds.write_within = std::chrono::seconds(1);
  const Served served(bounds);
  fill_queue(served.port());
  const auto before = resident_bytes();
  const Peer silent(served.port());
  ask_and_never_read(silent);
  EXPECT_TRUE(short_call(served.port()).starts_with("HTTP/1.1 200 ")) << "the others go on";
  EXPECT_LT(resident_bytes(), before + 100 * kAnswerBytes);
  EXPECT_TRUE(silent.is_reset());
}

/// Of some 16 MB, far more than the systems hold on the way to a peer with a small buffer.
std::string large_call() {
  std::string body = "[";
  for (int i = 0; i < 8; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"jsonrpc":"2.0","id":1,"method":"qssh_peek","params":{"count":4}})";
  body += "]";
  return "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

constexpr std::size_t kLargeBytes = 8 * kAnswerBytes;

/// Reads on, `bytes` each 50 ms, until the end or until `most` have come; how many that were. The others are answered
/// meanwhile.
std::size_t read_slowly(std::uint16_t port, const Peer& peer, std::size_t bytes, std::size_t most = SIZE_MAX) {
  std::size_t all = 0, got = bytes;
  for (auto next = std::chrono::steady_clock::now(); got >= bytes && all < most; all += got) {
    for (next += std::chrono::milliseconds(50); std::chrono::steady_clock::now() < next;)
      EXPECT_TRUE(short_call(port).starts_with("HTTP/1.1 200 "));
    got = peer.reads_bytes(bytes);
  }
  return all;
}

TEST(RpcFrontThreads, AReaderThatIsSlowAndSteadyGetsItsWholeAnswer) {
  HttpBounds bounds;
  bounds.write_within = std::chrono::seconds(1);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer slow(served.port(), 64 << 10);
  slow.send(large_call());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_GT(read_slowly(served.port(), slow, 250'000), kLargeBytes);
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 2 * bounds.write_within);
}

TEST(RpcFrontThreads, ATrickleThatIsReadBuysNoTime) {
  HttpBounds bounds;
  bounds.write_within = std::chrono::seconds(1);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer slow(served.port(), 4 << 10);
  slow.send(large_call());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  std::size_t all = 0;
  while (!slow.is_reset_within(50) && std::chrono::steady_clock::now() < deadline) all += slow.read_some(1000).size();
  EXPECT_LT(std::chrono::steady_clock::now(), deadline) << all << " bytes";
  EXPECT_GT(all, 10'000U);
}

TEST(RpcFrontThreads, UnreadAnswersOfAllTogetherAreBounded) {
  HttpBounds bounds;
  bounds.buffered_bytes = 3 * kAnswerBytes / 2;
  bounds.unread_within = bounds.write_within = std::chrono::minutes(10);
  const Served served(bounds);
  fill_queue(served.port());
  {
    const Peer one(served.port()), two(served.port());
    ask_and_never_read(one);
    ask_and_never_read(two);
    EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 503 "));
    const auto refusal = short_call(served.port());
    EXPECT_NE(refusal.find("Retry-After: 1\r\n"), refusal.npos) << refusal;
    EXPECT_NE(refusal.find("too many large answers at once that nobody reads"), refusal.npos) << refusal;
  }
  EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 200 ")) << "they have gone, and their answers with them";
}

TEST(RpcFrontThreads, WhoLeavesAnswersUnreadGivesWayToTheOthers) {
  HttpBounds bounds;
  bounds.buffered_bytes = 3 * kAnswerBytes / 2;
  bounds.unread_within = Duration(0);
  bounds.write_within = std::chrono::minutes(10);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer one(served.port()), two(served.port()), three(served.port());
  for (const auto* peer : {&one, &two, &three}) {
    ask_and_never_read(*peer);
    EXPECT_TRUE(short_call(served.port()).starts_with("HTTP/1.1 200 ")) << "nobody is refused";
  }
  EXPECT_TRUE(one.is_reset());
  EXPECT_TRUE(two.is_reset());
}

TEST(RpcFrontThreads, WhoReadsOnGivesWayBehindWhoStandsStill) {
  HttpBounds bounds;
  bounds.buffered_bytes = 5 * kLargeBytes / 2;
  bounds.unread_within = Duration(0);
  bounds.write_within = std::chrono::minutes(10);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer reads_on(served.port(), 64 << 10), stands_still(served.port(), 64 << 10), comes(served.port(), 64 << 10);
  reads_on.send(large_call());
  EXPECT_TRUE(reads_on.reads("HTTP/1.1 200 "));
  stands_still.send(large_call());
  EXPECT_TRUE(stands_still.reads("HTTP/1.1 200 "));
  const auto first = read_slowly(served.port(), reads_on, 250'000, kLargeBytes / 2);
  comes.send(large_call());
  EXPECT_TRUE(comes.reads("HTTP/1.1 200 "));
  EXPECT_TRUE(short_call(served.port()).starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(stands_still.is_reset());
  EXPECT_GT(first + reads_on.reads_bytes(2 * kLargeBytes), kLargeBytes - (64 << 10))
      << "all but what was read for the status";
}

// -- A port that is full --------------------------------------------------------------------------------------

HttpBounds bounds_of_a_small_web_port(std::size_t connections) {
  HttpBounds bounds;
  bounds.connections = connections;
  bounds.slowest_gives_way = true;
  bounds.header_within = std::chrono::minutes(10);
  bounds.rested = Duration(0);
  return bounds;
}

/// With its answer read, what stands behind that call has been seen, too.
void call_and_go_on(const Peer& peer, std::string_view behind) {
  peer.send(kCall + std::string(behind));
  EXPECT_TRUE(peer.reads("alice"));
}

TEST(RpcFrontThreads, HalfHeadersGiveWayBehindIdleConnectionsTheLongestFirst) {
  const Served served(bounds_of_a_small_web_port(3));
  const Peer slowest(served.port()), idle(served.port()), slow(served.port());
  call_and_go_on(slowest, "POST / HT");
  call_and_go_on(slow, kCall.substr(0, 20));
  call_and_go_on(idle, "");
  const Peer fourth(served.port());
  call_and_go_on(fourth, "POST / HT");
  EXPECT_EQ(idle.until_end(), "");
  const Peer fifth(served.port());
  call_and_go_on(fifth, "");
  EXPECT_EQ(slowest.until_end(), "");
  slow.send(kCall.substr(20));
  EXPECT_TRUE(slow.reads("alice")) << "it was at it for less long";
}

/// Otherwise two that come together would end each other, however many half headers there are.
TEST(RpcFrontThreads, WhoHasJustComeIsNotYetIdle) {
  auto bounds = bounds_of_a_small_web_port(2);
  bounds.rested = std::chrono::minutes(10);
  const Served served(bounds);
  const Peer slow(served.port());
  call_and_go_on(slow, "POST / HT");
  const Peer come(served.port()), behind(served.port());
  call_and_go_on(behind, "");
  EXPECT_EQ(slow.until_end(), "");
  call_and_go_on(come, "");
}

TEST(RpcFrontThreads, HalfBodiesGiveWayAndCallsUnderWayDoNot) {
  const Served served(bounds_of_a_small_web_port(1));
  const Peer slow(served.port());
  call_and_go_on(slow, kCall.substr(0, kCall.size() - 1));
  const Peer waiting(served.port());
  call_and_go_on(waiting, post("qssh_popMessage", R"({"wait_ms":60000})"));
  EXPECT_EQ(slow.until_end(), "");
  EXPECT_TRUE(comes_to_refuse(served.port()));
}

TEST(RpcFrontThreads, AnswersThatNobodyReadsGiveWay) {
  auto bounds = bounds_of_a_small_web_port(1);
  bounds.unread_within = Duration(0);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer silent(served.port());
  ask_and_never_read(silent);
  EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 200 "));
  EXPECT_TRUE(silent.is_reset());
}

TEST(RpcFrontThreads, AStopEndsIdleConnections) {
  std::optional<Served> served;
  served.emplace(HttpBounds{});
  const Peer idle(served->port());
  idle.send(kCall);
  EXPECT_TRUE(idle.reads("alice"));
  served.reset();
  EXPECT_EQ(idle.until_end(), "");
}

}  // namespace
}  // namespace qh::serve
