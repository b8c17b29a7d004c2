// A binary port with more half requests, or more unread answers, than it has room for: who gives way, and who does not.

#include <algorithm>
#include <chrono>
#include <list>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "serve/binary_bed.h"

namespace qh::serve {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr Duration kNever = std::chrono::hours(1);
constexpr int kSmallWindow = 64 << 10;
/// Of one peek; how much of it the system takes at once is its own affair, but it is not half of it.
constexpr std::size_t kAnswerBytes = 8'000'000;

/// At once, by one that reads steadily.
constexpr std::size_t kTakenBytes = 128U << 10;

std::string large_peek() { return call("qssh_peek", R"({"count":16})"); }

void fill_well(std::uint16_t port) {
  for (int i = 0; i < 4; ++i) fill_queue(port);
}

/// Has asked for a large answer, and has not read more than its begin.
class Asked : public Client {
 public:
  explicit Asked(std::uint16_t port) : Client(port, kSmallWindow) {
    send(large_peek());
    EXPECT_TRUE(hears_within(kPatienceMs));
  }
};

std::string large_call(std::size_t bytes) { return call("qssh_getValidatorName", std::string(bytes, ' ') + "[]"); }

/// A tick of a peer that takes its time.
void pause(const Peer& quiet, int ms) { EXPECT_FALSE(quiet.hears_within(ms)); }

// -- Answers ---------------------------------------------------------------------------------------------

TEST(BinaryCrowdThreads, WhoLeavesAnswersUnreadGivesWayToTheOthers) {
  const Served served({.write_within = kNever, .buffered_bytes = 3'000'000, .gives_way_after = Duration(0)});
  fill_well(served.port());
  const Client other(served.port());
  std::list<Asked> silent;
  for (int i = 0; i < 4; ++i) {
    silent.emplace_back(served.port());
    other.send(kName);
    ASSERT_TRUE(other.reads(kAnswer)) << i;
  }
  for (int i = 0; i < 3; ++i, silent.pop_front()) EXPECT_TRUE(silent.front().is_reset()) << i;
  const Client late(served.port());
  late.send(kName);
  EXPECT_TRUE(late.reads(kAnswer));
}

/// The one that reads has begun before the one that does not.
TEST(BinaryCrowdThreads, WhoReadsSteadilyIsNotTheFirstToGiveWay) {
  const Served served({.write_within = kNever, .buffered_bytes = 12'000'000, .gives_way_after = milliseconds(1'000)});
  fill_well(served.port());
  const Client other(served.port());
  const Asked steady(served.port());
  const Asked silent(served.port());
  other.send(kName);
  std::size_t all = 0;
  while (all < kAnswerBytes) {
    const auto got = steady.reads_bytes(std::min(kAnswerBytes - all, kTakenBytes));
    ASSERT_NE(got, 0U) << all;
    all += got;
    (void)other.hears_within(100);
  }
  EXPECT_TRUE(other.reads(kAnswer));
  EXPECT_TRUE(silent.is_reset());
}

/// Who reads steadily takes its time, but not that of all others.
TEST(BinaryCrowdThreads, WhoReadsSteadilyDoesNotHoldUpTheOthersForLong) {
  const Served served({.write_within = kNever, .buffered_bytes = 1'100'000, .gives_way_after = milliseconds(500)});
  fill_well(served.port());
  const Client other(served.port());
  const Asked steady(served.port());
  other.send(kName);
  std::size_t all = 0;
  while (!other.hears_within(150) && all < kAnswerBytes) all += steady.reads_bytes(kTakenBytes);
  EXPECT_LT(all, kAnswerBytes / 3);
  EXPECT_TRUE(other.reads(kAnswer));
}

TEST(BinaryCrowdThreads, WhoAsksForLittleIsServedBeforeThoseThatWaitForMore) {
  const Served served({.write_within = kNever, .buffered_bytes = 1'100'000, .gives_way_after = milliseconds(1'000)});
  fill_well(served.port());
  const Client first(served.port(), kSmallWindow), second(served.port(), kSmallWindow);
  const Client other(served.port());
  other.send(kName);
  EXPECT_TRUE(other.reads(kAnswer));
  const Asked silent(served.port());
  first.send(large_peek());
  second.send(large_peek());
  other.send(kName);
  EXPECT_TRUE(other.reads(kAnswer));
  EXPECT_FALSE(second.hears_within(0)) << "it has no room before the first has given way";
  EXPECT_TRUE(silent.is_reset());
  EXPECT_TRUE(second.hears_within(kPatienceMs));
}

/// Each asks for the next one while it reads, and the room that an answer gives back is not its own.
TEST(BinaryCrowdThreads, WhoAsksForLittleIsServedBetweenTwoThatAlwaysAskForMore) {
  const Served served({.write_within = kNever, .buffered_bytes = 12'000'000, .gives_way_after = kNever});
  fill_well(served.port());
  const Client one(served.port(), kSmallWindow), two(served.port(), kSmallWindow);
  const Client other(served.port());
  other.send(kName);
  EXPECT_TRUE(other.reads(kAnswer));
  for (const auto* reader : {&one, &two}) {
    for (int i = 0; i < 40; ++i) reader->send(large_peek());
    EXPECT_TRUE(reader->hears_within(kPatienceMs));
  }
  other.send(kName);
  std::size_t all = 0;
  while (!other.hears_within(0) && all < 20 * kAnswerBytes) {
    for (const auto* reader : {&one, &two}) all += reader->reads_bytes(kTakenBytes);
  }
  EXPECT_LT(all, 20 * kAnswerBytes);
  EXPECT_TRUE(other.reads(kAnswer));
  for (const auto* reader : {&one, &two}) EXPECT_EQ(reader->reads_bytes(2 * kAnswerBytes), 2 * kAnswerBytes);
}

/// The rest of them alone has room.
TEST(BinaryCrowdThreads, AnAnswerCountsWholeUntilTheLastOfItIsTaken) {
  constexpr std::size_t kRead = 3'000'000;
  const Served served({.write_within = kNever, .buffered_bytes = 12'000'000, .gives_way_after = kNever});
  fill_well(served.port());
  const Client other(served.port());
  std::optional<Asked> one(served.port()), two(served.port());
  EXPECT_EQ(one->reads_bytes(kRead), kRead);
  EXPECT_EQ(two->reads_bytes(kRead), kRead);
  other.send(kName);
  pause(other, 500);
  two.reset();
  EXPECT_TRUE(other.reads(kAnswer));
}

/// They count while nothing is sent, too.
TEST(BinaryCrowdThreads, AnswersOfWaitsBehindAnUnreadOneCount) {
  const Served served({.write_within = kNever, .buffered_bytes = 20'000'000, .gives_way_after = Duration(0)});
  fill_well(served.port());
  const Client silent(served.port(), kSmallWindow), other(served.port());
  std::string waits;
  for (std::uint64_t id = 2; id < 40; ++id)
    waits += call("qssh_popMessage", R"({"kinds":["Telemetry"],"wait_ms":60000})", id);
  silent.send(waits + large_peek());
  EXPECT_TRUE(silent.hears_within(kPatienceMs));
  const auto message = R"({"message":{"Telemetry":{"source":"t","data":"0x)" + std::string(1'000'000, '0') + R"("}},)" +
                       R"("durability":"async"})";
  for (int i = 0; i < 30; ++i) {
    other.send(call("qssh_submitMessage", message));
    EXPECT_TRUE(other.reads("message_id"));
  }
  EXPECT_TRUE(silent.is_reset());
}

TEST(BinaryCrowdThreads, AnswersThatNobodyReadsHoldUpNewRequestsUntilTheyHaveGone) {
  const Served served({.write_within = milliseconds(2'000), .buffered_bytes = 1'100'000, .gives_way_after = kNever});
  fill_well(served.port());
  const Client other(served.port());
  const Asked silent(served.port());
  other.send(kName);
  pause(other, 500);
  EXPECT_TRUE(silent.is_reset());
  EXPECT_TRUE(other.reads(kAnswer)) << "held up, not refused";
}

TEST(BinaryCrowdThreads, WhoIsNotReadHasItsTime) {
  const Served served({.preface_within = milliseconds(1'000),
                       .frame_within = milliseconds(1'000),
                       .write_within = milliseconds(4'000),
                       .idle_within = milliseconds(1'000),
                       .buffered_bytes = 3'000'000,
                       .gives_way_after = kNever});
  fill_well(served.port());
  const Client half(served.port());
  const Asked silent(served.port());
  half.send(kName.substr(0, 5));
  const Peer late(served.port());
  late.send(preface() + kName);
  pause(half, 500);
  half.send(kName.substr(5));
  pause(half, 1'500);
  EXPECT_TRUE(late.reads(kAnswer));
  EXPECT_TRUE(half.reads(kAnswer));
  EXPECT_TRUE(silent.is_reset());
}

TEST(BinaryCrowdThreads, AnAnswerThatIsTakenSteadilyHasAllItsTime) {
  const Served served({.write_within = milliseconds(1'000)});
  fill_well(served.port());
  const Client quiet(served.port());
  const Asked steady(served.port());
  std::size_t all = 0;
  const auto begin = Clock::now();
  for (std::size_t got = 1; got != 0 && all < kAnswerBytes; all += got) {
    got = steady.reads_bytes(std::min(kAnswerBytes - all, 2 * kTakenBytes));
    pause(quiet, 150);
  }
  EXPECT_GE(all, kAnswerBytes);
  EXPECT_GT(Clock::now() - begin, milliseconds(3'000)) << "it took less time than it has anyhow";
}

TEST(BinaryCrowdThreads, ReadingByteByByteBuysNoTime) {
  const Served served({.write_within = milliseconds(500)});
  fill_well(served.port());
  const Client quiet(served.port());
  const Asked slow(served.port());
  const auto deadline = Clock::now() + milliseconds(kPatienceMs);
  while (slow.send_some("x") == 1) {
    ASSERT_EQ(slow.reads_bytes(1), 1U);
    ASSERT_LT(Clock::now(), deadline);
    pause(quiet, 20);
  }
}

// -- What waits for room ------------------------------------------------------------------------------------

/// It was asked for long ago, and may be for nobody.
TEST(BinaryCrowdThreads, APopThatWaitedForRoomTakesNothingForWhoHasGone) {
  const Served served({.write_within = kNever, .buffered_bytes = 1'100'000, .gives_way_after = milliseconds(1'000)});
  fill_well(served.port());
  const Client other(served.port()), half(served.port());
  std::optional<Client> goes(served.port());
  const Asked silent(served.port());
  goes->send(call("qssh_popMessage"));
  half.send(call("qssh_popMessage"));
  pause(half, 500);
  goes.reset();
  half.end_sending();
  EXPECT_TRUE(silent.is_reset());
  const auto last = half.until_end();
  EXPECT_NE(last.find("nothing was taken"), last.npos) << last.size() << " bytes";
  other.send(call("qssh_getQueueDepth"));
  const auto depth = other.read_some();
  EXPECT_TRUE(depth.ends_with("16")) << depth;
}

TEST(BinaryCrowdThreads, WhatCameBeforeTheEndIsAnsweredWhenThereIsRoom) {
  Served served({.write_within = kNever, .buffered_bytes = 15'300'000, .gives_way_after = kNever});
  fill_well(served.port());
  const Client asks(served.port(), kSmallWindow);
  served.on_loop([&] {  // all of it is seen at once; the first fills the link, and is more than the system takes
    asks.send(call("qssh_peek", R"({"count":12})", 1) + call("qssh_getValidatorName", "[]", 2));
    asks.end_sending();
  });
  EXPECT_TRUE(asks.hears_within(kPatienceMs));
  std::optional<Asked> one(served.port()), two(served.port());
  EXPECT_TRUE(asks.reads("}]")) << "the end of the first answer";
  pause(asks, 500);
  two.reset();
  EXPECT_TRUE(asks.until_end().ends_with(kAnswer));
}

TEST(BinaryCrowdThreads, ACancelNeedsNoRoom) {
  const Served served({.write_within = kNever, .buffered_bytes = 1'100'000, .gives_way_after = kNever});
  fill_well(served.port());
  const Client waits(served.port()), other(served.port());
  other.send(kName);
  EXPECT_TRUE(other.reads(kAnswer));
  waits.send(kName + call("qssh_popMessage", R"({"kinds":["Vote"],"wait_ms":60000})", 7));
  EXPECT_TRUE(waits.reads(kAnswer));
  const Asked silent(served.port());
  other.send(kName);
  pause(other, 300);
  Bytes cancel;
  rpc::binary::put_frame(cancel, {.id = 7, .kind = rpc::binary::Kind::kCancel}, {});
  waits.send(kName + std::string(as_text(cancel)));
  EXPECT_TRUE(waits.reads("nothing was taken"));
  EXPECT_FALSE(other.hears_within(0)) << "there was room";
}

// -- Requests --------------------------------------------------------------------------------------------

TEST(BinaryCrowdThreads, WhatAFrameSaysOfItsLengthTakesNoRoom) {
  const Served served({.buffered_bytes = 1'200'000, .gives_way_after = kNever});
  std::list<Client> hogs;
  const auto large = large_call(1'000'000);
  for (int i = 0; i < 8; ++i) hogs.emplace_back(served.port()).send(large.substr(0, 24));
  pause(hogs.back(), 300);  // the length has been seen when the next byte comes
  for (const auto& one : hogs) one.send(large.substr(24, 1));
  const Client other(served.port());
  for (int i = 0; i < 3; ++i) {
    other.send(large_call(500'000));
    ASSERT_TRUE(other.reads(kAnswer)) << i;
  }
  auto& hog = hogs.back();
  hog.send(large.substr(25));
  EXPECT_TRUE(hog.reads(kAnswer));
}

TEST(BinaryCrowdThreads, HalfRequestsGiveWayTheLongestFirst) {
  const Served served({.frame_within = kNever, .buffered_bytes = 1'000'000, .gives_way_after = Duration(0)});
  const Client slowest(served.port()), slow(served.port()), other(served.port());
  const auto large = large_call(600'000);
  slowest.send(large.substr(0, 500'000));
  pause(slowest, 600);
  slow.send(large.substr(0, 300'000));
  pause(slow, 600);
  other.send(large_call(300'000));
  EXPECT_TRUE(other.reads(kAnswer));
  EXPECT_EQ(slowest.until_end(), "");
  slow.send(large.substr(300'000));
  EXPECT_TRUE(slow.reads(kAnswer)) << "it was at it for less long";
}

/// The call is not cut off, but its wait would keep the room.
TEST(BinaryCrowdThreads, AHalfRequestBehindAWaitGivesWayBehindTheAnswer) {
  const Served served({.buffered_bytes = 1'000'000, .gives_way_after = Duration(0)});
  const Client waiting(served.port()), other(served.port());
  waiting.send(call("qssh_popMessage", R"({"wait_ms":60000})") + large_call(600'000).substr(0, 500'000));
  pause(waiting, 600);
  other.send(large_call(900'000));
  EXPECT_TRUE(other.reads(kAnswer));
  const auto last = waiting.until_end();
  EXPECT_NE(last.find("nothing was taken"), last.npos) << last;
  EXPECT_EQ(last.find("still open"), last.npos);
}

/// It would go on, if it were read.
TEST(BinaryCrowdThreads, ARequestThatIsNotReadForWantOfRoomForAnswersIsNotSlow) {
  const Served served({.write_within = kNever, .buffered_bytes = 650'000, .gives_way_after = milliseconds(2'000)});
  fill_well(served.port());
  const Client uploads(served.port()), other(served.port());
  const auto large = large_call(600'000);
  constexpr std::size_t kSent = 550'000;
  uploads.send(large.substr(0, kSent));
  pause(uploads, 300);
  const Asked silent(served.port());
  other.send(large_call(300'000));
  EXPECT_TRUE(silent.is_reset());
  uploads.try_to_send(large.substr(kSent));
  EXPECT_TRUE(uploads.reads(kAnswer));
  EXPECT_TRUE(other.reads(kAnswer));
}

TEST(BinaryCrowdThreads, ARequestThatHasNoRoomHasItsTime) {
  const Served served({.frame_within = milliseconds(1'000), .buffered_bytes = 700'000, .gives_way_after = kNever});
  std::optional<Client> waiting(served.port());
  waiting->send(call("qssh_popMessage", R"({"wait_ms":60000})") + large_call(600'000).substr(0, 500'000));
  pause(*waiting, 300);
  const Client held(served.port());
  held.send(large_call(500'000));
  pause(held, 3'000);
  waiting.reset();
  EXPECT_TRUE(held.reads(kAnswer));
}

}  // namespace
}  // namespace qh::serve
