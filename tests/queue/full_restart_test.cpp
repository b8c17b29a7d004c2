// "What must hold" 6 over many lives: starts and stops on a full disk take nothing of the room of takes, however soon
// one follows the other, and whatever they find to write.
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue/log_format.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

SimDisk::Options takes_time() {
  SimDisk::Options disk;
  disk.stall_one_in = 0;
  return disk;
}

/// Durable messages until the disk refuses three batches. Every second batch is due, or all.
class FullDisk {
 public:
  FullDisk(std::uint64_t seed, Options options, std::size_t body_bytes, std::size_t batch, std::uint64_t more,
           SimDisk::Options disk, bool all_due = false)
      : m(seed, std::move(options), disk) {
    EXPECT_TRUE(m.start());
    m.run_for(seconds(1));
    m.disk.set_capacity(m.disk.used_bytes() + more);
    auto how = sync_by("a");
    bool is_due = true;
    for (int refused = 0; refused < 3;) {
      how.not_before = m.world.wall() + (is_due ? Duration(0) : Duration(hours(1000)));
      if (!submit(body_bytes, batch, how)) {
        ++refused;
        continue;
      }
      due += is_due ? batch : 0;
      is_due = all_due || !is_due;
    }
  }

  ::testing::AssertionResult takes(std::size_t count) {
    for (; count > 0; --count) {
      const auto taken = m.take();
      if (!taken) return ::testing::AssertionFailure() << due << " left: " << taken.error().to_string();
      if (!*taken) return ::testing::AssertionFailure() << due << " left, and nothing comes";
      --due;
    }
    return ::testing::AssertionSuccess();
  }

  QueueMachine m;
  std::size_t due = 0;

 private:
  bool submit(std::size_t body_bytes, std::size_t batch, const SubmitOptions& how) {
    std::vector<Submission> submissions;
    for (std::size_t i = 0; i < batch; ++i)
      submissions.push_back({encode(Message(gossip("s", std::string(body_bytes, 's')))).value(), how});
    return m
        .answer<std::vector<Submitted>>(
            [&](auto done) { m.engine->submit_batch(std::move(submissions), std::move(done)); })
        .has_value();
  }
};

Options segments_of(std::uint64_t bytes) {
  auto options = limit_options();
  options.segment_bytes_min = options.segment_bytes_max = bytes;
  options.max_batch_bytes = 256U << 10;
  options.max_deliveries = 1000;
  return options;
}

void end_life(QueueMachine& m, std::uint64_t how, std::uint64_t seed) {
  if (how == 0) {
    static_cast<void>(m.stop());
  } else if (how == 1) {
    m.process_kill(seed);
  } else {
    m.power_cut(seed);
  }
}

void use_up_the_room_of_leases(QueueMachine& m) {
  for (const std::uint32_t at_once : {1000U, 1U}) {
    for (auto leased = m.lease(at_once, seconds(3000)); leased && !leased->empty();)
      leased = m.lease(at_once, seconds(3000));
  }
}

/// A supervisor starts what ends at once: each start wrote a block or more, and the round that would have brought them
/// back never came to its end.
TEST(WhatMustHold6, StartsThatEndAtOnceTakeNothingOfTheRoomOfTakes) {
  for (std::uint64_t how = 0; how < 6; ++how) {
    FullDisk full(how + 1, segments_of(128U << 10), 1000, 4, 1'000'000, takes_time());
    if (how >= 3) use_up_the_room_of_leases(full.m);
    end_life(full.m, 0, how);
    for (std::uint64_t life = 1; life <= 300; ++life) {
      const auto started = full.m.start();
      ASSERT_TRUE(started) << "how " << how << ", life " << life << ": " << started.error().to_string();
      end_life(full.m, how % 3, life);
    }
    ASSERT_TRUE(full.m.start());
    ASSERT_TRUE(full.takes(full.due)) << "how " << how;
  }
}

/// Lives of any length, with a few takes or many leases in some of them, ended in any way.
TEST(WhatMustHold6, ShortLivesWithTakesAndLeasesLeaveRoomForTheRest) {
  const auto from = number_from_env("QH_FROM", 1), seeds = number_from_env("QH_SEEDS", 12);
  for (auto seed = from; seed < from + seeds; ++seed) {
    SeededRng rng(seed);
    const auto segment = (128U << 10) << rng.below(3);
    const auto bytes = 1 + rng.below(rng.below(2) != 0 ? 100 : 3000);
    FullDisk full(seed, segments_of(segment), bytes, 1 + rng.below(16),
                  segment * (2 + rng.below(8)) + rng.below(segment), rng.below(4) == 0 ? at_once() : takes_time());
    const auto takes_one_in = 1 + rng.below(4);
    for (std::uint64_t life = 0; life < 200; ++life) {
      end_life(full.m, rng.below(3), rng.next());
      const auto started = full.m.start();
      ASSERT_TRUE(started) << "seed " << seed << ", life " << life << ": " << started.error().to_string();
      if (rng.below(takes_one_in) == 0) {
        ASSERT_TRUE(full.takes(std::min<std::size_t>(full.due, rng.below(3)))) << "seed " << seed << ", life " << life;
      }
      if (rng.below(takes_one_in) == 0)
        static_cast<void>(full.m.lease(static_cast<std::uint32_t>(1 + rng.below(300)), seconds(3000)));
      for (auto steps = rng.below(4) == 0 ? rng.below(60) : 0; steps > 0; --steps) full.m.step();
    }
    end_life(full.m, rng.below(3), rng.next());
    ASSERT_TRUE(full.m.start());
    ASSERT_TRUE(full.takes(full.due)) << "seed " << seed;
  }
}

/// A mark behind each take, when the queue is idle, is one more block.
TEST(WhatMustHold6, AConsumerThatTakesItsTimeEmptiesAFullDisk) {
  for (const std::uint64_t more : {600'000U, 1'000'000U, 1'500'000U}) {
    FullDisk full(more, segments_of(128U << 10), 1000, 4, more, takes_time());
    while (full.due > 0) {
      ASSERT_TRUE(full.takes(1)) << more << " more";
      full.m.run_for(full.m.options.idle_mark_after + milliseconds(100));
    }
  }
}

/// A stop gives leases back: all of a full disk's messages are a record each.
TEST(WhatMustHold6, LeasesThatStopsGiveBackLeaveTheRoomOfTakes) {
  for (const std::uint32_t max_deliveries : {1000U, 3U}) {
    for (const std::uint64_t more : {1'000'000U, 2'000'000U, 3'000'000U}) {
      auto options = segments_of(1U << 20);
      options.max_deliveries = max_deliveries;
      FullDisk full(10 + more, options, 10, 16, more, at_once(), true);
      for (int life = 0; life < 6; ++life) {
        use_up_the_room_of_leases(full.m);
        ASSERT_TRUE(full.m.stop());
        const auto started = full.m.start();
        ASSERT_TRUE(started) << more << " more, life " << life << ": " << started.error().to_string();
      }
      full.due -= full.m.engine->metrics().dead_letters;
      ASSERT_TRUE(full.takes(full.due)) << more << " more, " << max_deliveries << " deliveries";
    }
  }
}

/// What there is no room for is not written, what there is room for is: a delivery that a stop cut short does not
/// count.
TEST(WhatMustHold6, AStopGivesBackAsManyLeasesAsThereIsRoomFor) {
  FullDisk full(1, segments_of(256U << 10), 10, 16, 3'000'000, at_once());
  std::size_t leased = 0;
  while (leased < 5'000) {
    const auto some = full.m.lease(1000, seconds(3000));
    ASSERT_TRUE(some && !some->empty());
    leased += some->size();
  }
  ASSERT_TRUE(full.m.stop());
  ASSERT_TRUE(full.m.start());
  std::size_t counted = 0, all = 0;
  full.m.engine->each([&](const Found& found) {
    ++all;
    counted += found.message && found.message->deliveries > 0;
  });
  EXPECT_GT(all, leased);
  EXPECT_LT(counted, leased);
}

/// Each stop finds a thousand in a consumer's hands. A start that thinks that they were delivered makes dead letters of
/// them in the end.
TEST(WhatMustHold6, LeasesThatStopsCutShortDoNotBecomeDeadLetters) {
  for (const std::uint64_t more : {600'000U, 1'400'000U, 2'200'000U}) {
    auto options = segments_of(256U << 10);
    options.max_deliveries = 5;
    FullDisk full(more, options, 100, 4, more, at_once(), true);
    for (int life = 0; life < 40; ++life) {
      for (int calls = 0; calls < 40; ++calls) {
        if (const auto leased = full.m.lease(25, seconds(3000)); !leased || leased->empty()) break;
      }
      ASSERT_TRUE(full.m.stop());
      ASSERT_TRUE(full.m.start());
      ASSERT_EQ(full.m.engine->metrics().dead_letters, 0U) << more << " more, life " << life;
    }
    ASSERT_TRUE(full.takes(full.due)) << more << " more";
  }
}

/// The block that a call has written last, by what the segments were before.
std::pair<std::string, std::uint64_t> changed_block(SimDisk& disk, const std::map<std::string, Bytes>& before) {
  for (const auto& [name, was] : before) {
    const auto is = disk.contents(name);
    if (!is || is->size() != was.size()) continue;
    const auto differs = std::mismatch(was.begin(), was.end(), is->begin()).first;
    if (differs == was.end()) continue;
    const auto at = static_cast<std::uint64_t>(differs - was.begin());
    return {name, at / wal::kBlockBytes * wal::kBlockBytes};
  }
  return {};
}

/// A log without room for a mark has it in the mark file: what was durable and is damaged is no torn tail.
TEST(WhatMustHold3, DamageOnAFullDiskIsNotTakenForATornTail) {
  for (const bool stops : {true, false}) {
    FullDisk full(7, segments_of(128U << 10), 1000, 4, 1'000'000, takes_time());
    full.m.run_for(seconds(2));
    std::map<std::string, Bytes> before;
    for (const auto& name : full.m.disk.names()) {
      if (wal::segment_index(name)) before.emplace(name, *full.m.disk.contents(name));
    }
    ASSERT_TRUE(full.takes(1));
    const auto [name, block] = changed_block(full.m.disk, before);
    ASSERT_FALSE(name.empty());
    if (stops) {
      ASSERT_TRUE(full.m.stop());
    } else {
      full.m.run_for(full.m.options.idle_mark_after + seconds(1));
      full.m.process_kill(3);
    }
    full.m.disk.corrupt(name, block + 70, std::byte{0x40});
    const auto started = full.m.start();
    ASSERT_FALSE(started) << "stops " << stops << ": a taken message is back";
    EXPECT_EQ(started.error().code, Errc::kCorrupt) << started.error().to_string();
  }
}

/// What dies in a start gives a segment back in the middle of the start's question for room: the pool, which had just
/// failed, uses that again, and what asked is told that the disk is full by a pool that is not.
TEST(AStart, OpensThoughRoomComesWhileItIsToldThatThereIsNone) {
  const auto from = number_from_env("QH_FROM", 1), seeds = number_from_env("QH_SEEDS", 150);
  for (auto seed = from; seed < from + seeds; ++seed) {
    SeededRng rng(seed);
    auto options = segments_of((64U << 10) << rng.below(3));
    options.max_deliveries = static_cast<std::uint32_t>(1 + rng.below(2));
    FullDisk full(seed, options, 1 + rng.below(3'000), 1 + rng.below(4), rng.below(6 * options.segment_bytes_min),
                  at_once(), rng.below(2) != 0);
    for (int life = 0; life < 12; ++life) {
      for (auto calls = rng.below(6); calls > 0; --calls) {
        if (rng.below(2) != 0)
          static_cast<void>(full.m.take());
        else
          static_cast<void>(full.m.lease(static_cast<std::uint32_t>(1 + rng.below(40)), seconds(3000)));
      }
      end_life(full.m, rng.below(3), rng.next());
      const auto started = full.m.start();
      ASSERT_TRUE(started) << "seed " << seed << ", life " << life << ": " << started.error().to_string();
    }
  }
}

/// Who stops a queue whose start waits for room hears of both.
TEST(AStart, ThatIsStoppedDoesNotSayThatItIsOpen) {
  int stopped_first = 0;
  for (std::uint64_t steps = 1; steps < 200; ++steps) {
    FullDisk full(3, segments_of(128U << 10), 1000, 4, 1'000'000, takes_time());
    end_life(full.m, 0, 1);
    std::optional<Result<RecoveryReport>> opened;
    bool stopping = false;
    full.m.begin_start([&](Result<RecoveryReport> report) {
      if (stopping && report) ADD_FAILURE() << "behind " << steps << " steps";
      opened = std::move(report);
    });
    for (auto left = steps; left > 0 && !opened; --left) full.m.step();
    if (opened) break;
    stopping = full.m.engine->state() == EngineState::kRunning;
    stopped_first += stopping;
    full.m.engine->stop([](const Result<void>&) {});
    ASSERT_TRUE(full.m.run_until([&] { return opened.has_value(); }));
  }
  EXPECT_GT(stopped_first, 0);
}

}  // namespace
}  // namespace qh::queue
