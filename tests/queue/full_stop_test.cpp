// "What must hold" 6 where a queue stops while its disk is full, or was a moment ago: what the stop writes of what was
// only in memory leaves the room of takes, what it could not write is told exactly, and it looks once more for room.
#include <charconv>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "full_queue.h"
#include "queue/log_format.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// "N messages that were only in memory could not be written" is in what a stop says; 0: it says nothing.
std::size_t said_to_be_lost(const Result<void>& stopped) {
  if (stopped) return 0;
  const auto text = stopped.error().to_string();
  const auto end = text.find(" messages that were only in memory could not be written");
  if (end == text.npos) return SIZE_MAX;
  const auto begin = text.find_last_not_of("0123456789", end - 1) + 1;
  std::size_t said = 0;
  std::from_chars(text.data() + begin, text.data() + end, said);
  return said;
}

/// A stop writes what there is room for, says how many it had none for, and takes go on in the next life.
TEST(WhatMustHold6, WhatAStopWritesLeavesTheRoomOfTakes) {
  std::size_t written = 0, lost_ones = 0;
  for (std::uint64_t more = 100'000; more < 3'000'000; more += 58'001) {
    FullAndMoreInMemory full(more, Duration(0));
    for (auto takes = full.due * (more % 5) / 5; takes > 0; --takes) ASSERT_TRUE(full.take());
    const auto stopped = full.m.stop();
    if (!stopped) {
      EXPECT_EQ(stopped.error().code, Errc::kStorageFull) << stopped.error().to_string();
    }
    ASSERT_TRUE(full.m.start());
    const auto depth = full.m.engine->depth().total();
    ASSERT_GE(depth, full.durable) << more << " more: of the durable ones none is lost";
    const auto lost = full.durable + FullAndMoreInMemory::kInMemory - depth;
    ASSERT_EQ(said_to_be_lost(stopped), lost) << more << " more";
    written += depth - full.durable;
    lost_ones += lost;
    ASSERT_TRUE(full.takes_all_that_is_due()) << more << " more";
  }
  EXPECT_GT(written, 0U);
  EXPECT_GT(lost_ones, 0U);
}

/// While it waits for the disk some of them die. Those are in the log as dead letters, so they are not lost.
TEST(WhatMustHold6, WhatDiesWhileAStopWaitsIsNotOfTheNumberThatItSays) {
  std::size_t dead = 0, lost_ones = 0;
  for (std::uint64_t more = 100'000; more < 3'000'000; more += 58'001) {
    FullAndMoreInMemory full(more, milliseconds(400));
    for (std::uint64_t segment = 1; segment < 40; ++segment)
      full.m.disk.slow_writes(wal::segment_name(segment), milliseconds(150));
    full.m.disk.set_capacity(full.m.disk.used_bytes() + 600'000);
    const auto stopped = full.m.stop();
    ASSERT_TRUE(full.m.start());
    const auto there = full.m.engine->depth().total() + full.m.engine->metrics().dead_letters;
    ASSERT_EQ(said_to_be_lost(stopped), full.durable + FullAndMoreInMemory::kInMemory - there) << more << " more";
    dead += full.m.engine->metrics().dead_letters;
    lost_ones += full.durable + FullAndMoreInMemory::kInMemory - there;
  }
  EXPECT_GT(dead, 0U);
  EXPECT_GT(lost_ones, 0U);
}

/// The keys of messages that were never in the log and are over: they are alive in it for their window, as puts are.
TEST(WhatMustHold6, TheKeysThatAStopWritesLeaveTheRoomOfTakesAndStarts) {
  for (std::uint64_t more = 300'000; more < 2'000'000; more += 110'003) {
    FullAndMoreInMemory full(more, Duration(0), 0);
    auto how = sync_by("k");
    how.durability = Durability::kAsync;
    for (int i = 0; i < 5000; ++i) {
      how.idempotency_key = fmt::format("{:0100}", i);
      const auto submitted = full.m.submit(gossip("s", "s"), how);
      ASSERT_TRUE(submitted);
      ASSERT_TRUE(full.m.answer<bool>([&](auto done) { full.m.engine->remove(submitted->id, std::move(done)); }));
    }
    ASSERT_TRUE(full.m.stop()) << more << " more";
    const auto started = full.m.start();
    ASSERT_TRUE(started) << more << " more: " << started.error().to_string();
    ASSERT_TRUE(full.takes_all_that_is_due()) << more << " more";
  }
}

/// The pool tries again a second after it found no room; a stop does not wait for that, nor does it take it for an
/// answer.
TEST(WhatMustHold6, AStopLooksOnceMoreForRoom) {
  for (const int before : {0, 100, 500, 900, 1100}) {
    FullAndMoreInMemory full(1'000'000, Duration(0));
    ASSERT_FALSE(full.m.submit(gossip("s", std::string(1000, 's')), sync_by("a")));
    full.m.disk.set_capacity(UINT64_MAX);
    full.m.run_for(milliseconds(before));
    const auto began = full.m.world.mono();
    const auto stopped = full.m.stop();
    ASSERT_TRUE(stopped) << before << " ms before: " << stopped.error().to_string();
    EXPECT_LT(full.m.world.mono() - began, seconds(1));
    ASSERT_TRUE(full.m.start());
    EXPECT_EQ(full.m.engine->depth().total(), full.durable + FullAndMoreInMemory::kInMemory);
  }
}

}  // namespace
}  // namespace qh::queue
