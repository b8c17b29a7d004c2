// An HTTP port whose answers are not read, over sockets.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/http_bed.h"
#include "serve/sessions.h"

namespace qh::serve::http {
namespace {

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

TEST(RpcFrontThreads, AnAnswerThatHasGoneHasNoMemory) {
  constexpr std::size_t kClients = 400;  // more than AddressSanitizer keeps of what was freed
  HttpBounds bounds;
  bounds.idle_within = std::chrono::minutes(10);  // they come first and ask one by one
  const Served served(bounds);
  fill_queue(served.port());
  std::list<Peer> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.emplace_back(served.port());
  const auto before = resident_bytes();
  for (const auto& client : clients) {
    client.send(post("qssh_peek", R"({"count":4})"));
    ASSERT_EQ(client.reads_bytes(kAnswerBytes), kAnswerBytes);
    client.send(kCall);
    ASSERT_TRUE(client.reads("alice"));
  }
  EXPECT_LT(resident_bytes(), before + kClients * kAnswerBytes / 2);
}

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
  while (!slow.is_reset_within(50) && std::chrono::steady_clock::now() < deadline) all += slow.read_some(2000).size();
  EXPECT_LT(std::chrono::steady_clock::now(), deadline) << all << " bytes";
  EXPECT_GT(all, 10'000U) << "it was not read bit by bit";
}

/// While the first write is not counted yet.
TEST(RpcFront, ToHaveTakenLessThanNothingIsNoProgress) {
  constexpr std::int64_t kProgress = kProgressBytes;
  EXPECT_FALSE(is_progress(-1, 0));
  EXPECT_FALSE(is_progress(-kProgress, 0));
  EXPECT_FALSE(is_progress(kProgress - 2, -1));
  EXPECT_TRUE(is_progress(kProgress - 1, -1));
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
    EXPECT_NE(refusal.find("too many large answers at once that are not taken yet"), refusal.npos) << refusal;
  }
  EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 200 ")) << "they have gone, and their answers with them";
}

TEST(RpcFrontThreads, WhoLeavesAnswersUnreadGivesWayToTheOthers) {
  HttpBounds bounds;
  bounds.buffered_bytes = 3 * kAnswerBytes / 2;
  // The system can take the last of an answer behind the first of the next: not as late as this.
  bounds.unread_within = std::chrono::milliseconds(300);
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

/// A reader of so many bytes each 50 ms.
struct Paced {
  const Peer& peer;
  std::size_t bytes = 0;
  std::size_t all = 0;
};

/// Makes short calls one behind the other until then; one may be under way behind it. What the last was answered.
void call_until(std::chrono::steady_clock::time_point end, std::uint16_t port, std::optional<Peer>& call,
                std::string& answer) {
  using std::chrono::milliseconds;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= milliseconds(0)) return;
    if (!call) call.emplace(port).send(kLastCall);
    if (!call->hears_within(static_cast<int>(left.count()))) return;
    answer = call->until_end();
    call.reset();
  }
}

struct SideBySide {
  std::string answer;                           ///< to the last short call
  std::chrono::steady_clock::duration rest{0};  ///< the longest time in which one of the readers read nothing
};

/// Until `done` says so, or the first of them has come to its end.
template <class Done>  // bool(const SideBySide&)
SideBySide read_side_by_side(std::uint16_t port, std::vector<Paced>& readers, Done done) {
  SideBySide seen;
  std::optional<Peer> call;
  auto next = std::chrono::steady_clock::now(), last = next;
  for (std::size_t got = 1; got != 0 && !done(seen);) {
    call_until(next += std::chrono::milliseconds(50), port, call, seen.answer);
    for (auto& reader : readers) {
      const auto read = reader.peer.reads_bytes(reader.bytes);
      reader.all += read;
      if (&reader == &readers.front()) got = read;
    }
    const auto now = std::chrono::steady_clock::now();
    seen.rest = std::max(seen.rest, now - std::exchange(last, now));
  }
  return seen;
}

bool is_answered(const SideBySide& seen) { return seen.answer.starts_with("HTTP/1.1 200 "); }

/// A reader that the machine kept from reading for long stood still for the port, and an attempt in which that happened
/// says nothing of who reads on: it returns false, and the next one has twice the time.
template <class Attempt>  // bool(unsigned slower)
void at_a_pace_that_the_machine_keeps(Attempt attempt) {
  for (unsigned slower = 1; slower <= 16; slower *= 2) {
    if (attempt(slower)) return;
  }
  FAIL() << "this machine stood still for seconds in each attempt";
}

TEST(RpcFrontThreads, OfThoseThatReadOnTheSlowestGivesWay) {
  HttpBounds bounds;
  bounds.buffered_bytes = 5 * kLargeBytes / 2;
  at_a_pace_that_the_machine_keeps([&](unsigned slower) {
    bounds.unread_within = std::chrono::seconds(3 * slower);
    const Served served(bounds);
    fill_queue(served.port());
    const Peer fast(served.port(), 64 << 10), slow(served.port(), 64 << 10), slowest(served.port(), 64 << 10);
    const auto begin = std::chrono::steady_clock::now();
    for (const auto* peer : {&fast, &slow, &slowest}) peer->send(large_call());
    for (const auto* peer : {&fast, &slow, &slowest}) EXPECT_TRUE(peer->reads("HTTP/1.1 200 ")) << "all are out";
    if (std::chrono::steady_clock::now() - begin > bounds.unread_within / 2) return false;
    constexpr auto kRest = kLargeBytes - (64 << 10);  // all but what was read for the status
    std::vector<Paced> readers{{fast, 120'000 / slower}, {slow, 80'000 / slower}, {slowest, 15'000 / slower}};
    const auto seen = read_side_by_side(served.port(), readers, is_answered);
    if (seen.rest > bounds.unread_within / 2) return false;
    EXPECT_TRUE(is_answered(seen)) << seen.answer;
    EXPECT_GE(readers.front().all + fast.reads_bytes(2 * kLargeBytes), kRest);
    EXPECT_TRUE(slowest.is_reset());
    return true;
  });
}

/// Each asks for the next one while it reads, and the room that an answer gives back is not its own.
TEST(RpcFrontThreads, TwoThatAlwaysAskForMoreDoNotKeepTheOthersOut) {
  HttpBounds bounds;
  bounds.buffered_bytes = 3 * kLargeBytes / 2;
  bounds.unread_within = bounds.write_within = bounds.room_within = std::chrono::minutes(10);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer one(served.port(), 64 << 10), two(served.port(), 64 << 10), other(served.port());
  for (const auto* reader : {&one, &two}) {
    for (int i = 0; i < 40; ++i) reader->send(large_call({}, "keep-alive"));
    EXPECT_TRUE(reader->reads("HTTP/1.1 200 "));
  }
  other.send(kCall);
  std::size_t all = 0;
  while (!other.hears_within(0) && all < 20 * kLargeBytes) {
    for (const auto* reader : {&one, &two}) all += reader->reads_bytes(128U << 10);
  }
  EXPECT_LT(all, 20 * kLargeBytes);
  EXPECT_TRUE(other.reads("HTTP/1.1 200 "));
  for (const auto* reader : {&one, &two}) EXPECT_EQ(reader->reads_bytes(2 * kLargeBytes), 2 * kLargeBytes);
}

constexpr std::string_view kWait =
    R"(,{"jsonrpc":"2.0","id":2,"method":"qssh_popMessage","params":{"kinds":["Vote"],"wait_ms":60000}})";

/// The answers to the other calls of their batch are held meanwhile.
TEST(RpcFrontThreads, WaitsThatHoldLargeAnswersEndWhereThereIsNoRoomForThem) {
  HttpBounds bounds;
  bounds.buffered_bytes = 5 * kLargeBytes / 2;
  bounds.unread_within = bounds.write_within = std::chrono::minutes(10);
  const Served served(bounds);
  fill_queue(served.port());
  const Peer one(served.port()), two(served.port()), three(served.port()), small(served.port());
  const auto batch = "[" + std::string(kWait.substr(1)) + "," + kName + "]";
  call_and_go_on(small, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(batch.size()) +
                            "\r\n\r\n" + batch);
  for (const auto* peer : {&one, &two, &three}) peer->send(large_call(kWait));
  EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 503 "));
  for (const auto* peer : {&one, &two, &three}) {
    const auto answer = peer->until_end();
    EXPECT_GT(answer.size(), kLargeBytes);
    EXPECT_NE(answer.find("nothing was taken", kLargeBytes), answer.npos);
  }
  EXPECT_TRUE(comes_to_answer(served.port(), "HTTP/1.1 200 "));
  EXPECT_FALSE(small.hears_within(0)) << "it holds little, and waits on";
}

TEST(RpcFrontThreads, WhatWaitsHeldGivesWayBeforeAReaderThatReadsOn) {
  HttpBounds bounds;
  bounds.buffered_bytes = 5 * kLargeBytes / 2;
  bounds.room_within = Duration(0);
  at_a_pace_that_the_machine_keeps([&](unsigned slower) {
    bounds.unread_within = std::chrono::seconds(2 * slower);
    const Served served(bounds);
    fill_queue(served.port());
    const Peer reads_on(served.port(), 64 << 10), one(served.port(), 64 << 10), two(served.port(), 64 << 10);
    reads_on.send(large_call());
    std::vector<Paced> readers{{reads_on, 100'000 / slower}};
    const auto longer_than_unread_within = [&](const auto&) { return readers.front().all >= 4'500'000; };
    const auto before = read_side_by_side(served.port(), readers, longer_than_unread_within);
    const auto begin = std::chrono::steady_clock::now();
    for (const auto* peer : {&one, &two}) peer->send(large_call(kWait));
    const auto is_full = comes_to_answer(served.port(), "HTTP/1.1 503 ");
    const auto rest = std::chrono::steady_clock::now() - begin;
    const auto behind = read_side_by_side(served.port(), readers, is_answered);
    if (std::max({before.rest, rest, behind.rest}) > bounds.unread_within / 2) return false;
    EXPECT_TRUE(is_full);
    EXPECT_TRUE(is_answered(behind)) << behind.answer;
    EXPECT_GE(readers.front().all + reads_on.reads_bytes(2 * kLargeBytes), kLargeBytes);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (!one.is_reset_within(50) && !two.is_reset_within(50) && std::chrono::steady_clock::now() < deadline)
      continue;
    EXPECT_LT(std::chrono::steady_clock::now(), deadline);
    return true;
  });
}

}  // namespace
}  // namespace qh::serve::http
