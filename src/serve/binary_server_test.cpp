// The bounds of the binary port, over sockets: time, connections, and bytes that nobody reads.

#include <fstream>
#include <list>
#include <string>

#include <gtest/gtest.h>

#include "rpc/binary_body.h"
#include "rpc/binary_link.h"
#include "serve/binary_bed.h"

namespace qh::serve {
namespace {

using std::chrono::milliseconds;

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
    std::string golden;
    std::ifstream("tests/golden/rpc_binary_v1_too_many_connections.hex") >> golden;
    EXPECT_EQ(to_hex(as_bytes(word)), to_hex(as_bytes(preface())) + golden) << word;
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
