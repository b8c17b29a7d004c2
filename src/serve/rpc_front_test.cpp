#include "serve/rpc_front.h"

#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/http_bed.h"

namespace qh::serve::http {
namespace {

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

// -- A port that is full --------------------------------------------------------------------------------------

HttpBounds bounds_of_a_small_web_port(std::size_t connections) {
  HttpBounds bounds;
  bounds.connections = connections;
  bounds.slowest_gives_way = true;
  bounds.header_within = std::chrono::minutes(10);
  bounds.rested = Duration(0);
  return bounds;
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
}  // namespace qh::serve::http
