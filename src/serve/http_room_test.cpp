// Requests to an HTTP port that has no room for their answers.

#include <array>
#include <chrono>
#include <fstream>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "serve/http_bed.h"

namespace qh::serve::http {
namespace {

std::size_t most_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::stoul(line.substr(6));
  }
  return 0;
}

/// Two that are not read take all the room.
class FullPortThreads : public ::testing::Test {
 protected:
  explicit FullPortThreads(Duration room_within = std::chrono::minutes(10))
      : served_(std::in_place, bounds(room_within)) {
    fill_queue(served_->port());
    for (auto& one : silent_) {
      one.emplace(served_->port(), 64 << 10).send(large_call());
      EXPECT_TRUE(one->reads("HTTP/1.1 200 "));
    }
  }
  static HttpBounds bounds(Duration room_within) {
    HttpBounds all;
    all.buffered_bytes = 3 * kLargeBytes / 2;
    all.unread_within = all.write_within = std::chrono::minutes(10);
    all.room_within = room_within;
    return all;
  }
  std::uint16_t port() const { return served_->port(); }
  void make_room() { silent_.front().reset(); }
  void stop() { served_.reset(); }

 private:
  std::array<std::optional<Peer>, 2> silent_;
  std::optional<Served> served_;
};

/// It was asked for a while ago, and may be for nobody.
TEST_F(FullPortThreads, ATakeThatWaitsForRoomTakesNothingForWhoHasGone) {
  std::optional<Peer> goes(port());
  const Peer half(port()), floods(port()), stays(port());
  const auto pop = post("qssh_popMessage", "{}");
  goes->send(pop);
  half.send(pop);
  half.end_sending();
  floods.send(pop);
  while (floods.send_some(kCall) != 0) continue;  // its end could not be seen
  stays.send(kCall);
  EXPECT_FALSE(stays.hears_within(600));
  goes.reset();
  make_room();
  EXPECT_TRUE(stays.reads("HTTP/1.1 200 "));
  EXPECT_TRUE(half.reads("nothing was taken"));
  EXPECT_TRUE(floods.reads("nothing was taken"));
  stays.send(post("qssh_getQueueDepth", "[]"));
  EXPECT_TRUE(stays.reads(R"("result":4)"));
}

TEST_F(FullPortThreads, WhatWaitsForRoomHasItsTurnBeforeWhatComesLater) {
  const Peer first(port(), 64 << 10), second(port());
  first.send(large_call());
  EXPECT_FALSE(first.hears_within(300));
  second.send(kCall);
  make_room();
  EXPECT_TRUE(first.hears_within(kPatienceMs));
  EXPECT_FALSE(second.hears_within(600)) << "the first has taken the room";
}

/// The end of the one with many could not be seen behind them, but its calls wait for a moment only.
TEST_F(FullPortThreads, HandOutToOneWithManyCallsWhenThereIsRoomAgain) {
  const Peer takes(port()), other(port());
  for (int i = 0; i < 1500; ++i) takes.send(post("qssh_popMessage", "{}"));
  for (int i = 0; i < 800; ++i) other.send(kCall);
  EXPECT_FALSE(takes.hears_within(600));
  make_room();
  constexpr std::string_view kNothing = "nothing was taken";
  std::string all, more = " ";
  while (all.find("Gossip") == all.npos && !more.empty()) all += more = takes.read_some();
  int nothing = 0;
  for (auto at = all.find(kNothing); at != all.npos; at = all.find(kNothing, at + 1)) ++nothing;
  EXPECT_NE(all.find("Gossip"), all.npos);
  EXPECT_LT(nothing, 20);
}

/// With calls behind those that wait.
TEST_F(FullPortThreads, AreAsQuickAsBeforeWhenThereIsRoomAgain) {
  const Peer one(port()), two(port());
  for (const auto* peer : {&one, &two}) {
    for (int i = 0; i < 400; ++i) peer->send(kCall);
    peer->send(kLastCall);
  }
  EXPECT_FALSE(one.hears_within(600));
  const auto begin = std::chrono::steady_clock::now();
  make_room();
  for (const auto* peer : {&one, &two}) EXPECT_EQ(peer->until_end().find("(still open)"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(kPatienceMs)) << "one a sweep?";
}

TEST_F(FullPortThreads, AStopCarriesOutNothingThatWaits) {
  constexpr std::size_t kClients = 40;
  const Peer other(port());
  std::list<Peer> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.emplace_back(port(), 64 << 10).send(large_call());
  other.send(post("qssh_popMessage", "{}"));
  EXPECT_FALSE(other.hears_within(600));
  const auto before = most_resident_bytes();
  stop();
  EXPECT_LT(most_resident_bytes(), before + kClients * kLargeBytes / 2);
  const auto refusal = other.until_end();
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 503 "));
  EXPECT_NE(refusal.find("stopping; nothing was done"), refusal.npos) << refusal;
}

class FullPortRefusesThreads : public FullPortThreads {
 protected:
  FullPortRefusesThreads() : FullPortThreads(std::chrono::milliseconds(500)) {}
};

TEST_F(FullPortRefusesThreads, WhatFindsNoRoomInTimeAndTheConnectionStays) {
  const Peer peer(port());
  for (int i = 0; i < 2; ++i) {
    peer.send(kCall);
    EXPECT_TRUE(peer.reads("HTTP/1.1 503 "));
  }
  make_room();
  peer.send(kCall);
  EXPECT_TRUE(peer.reads("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace qh::serve::http
