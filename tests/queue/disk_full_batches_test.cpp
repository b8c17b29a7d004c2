// "What must hold" 6 where batches larger than a segment, large messages and some that are not due fill the disk: what
// is due can be taken to the last. An append of theirs fills segments whose rest is too short for the next record, and
// makes the compactor carry more than it had to before.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "full_queue.h"
#include "limit_machine.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Sizes {
  Options options;
  std::size_t large_bytes;      ///< of a message
  std::uint64_t segment_bytes;  ///< the disk has room for one and a half to seven and a half of these
};

class FullOfBatches {
 public:
  FullOfBatches(std::uint64_t seed, Sizes sizes)
      : rng_(seed), sizes_(std::move(sizes)), m_(seed, sizes_.options, at_once()) {}

  /// Empty: all is well.
  std::string run() {
    if (auto started = m_.start(); !started) return started.error().to_string();
    m_.run_for(seconds(1));
    const auto segment = sizes_.segment_bytes;
    m_.disk.set_capacity(m_.disk.used_bytes() + 3 * segment / 2 + rng_.below(6 * segment));
    fill();
    while (failure_.empty() && due_ > 0) take();
    return failure_;
  }

 private:
  void fill() {
    for (int step = 0, refused = 0; step < 400 && refused < 12 && failure_.empty(); ++step) {
      if (!submit()) ++refused;
      if (rng_.below(4) == 0)
        for (auto takes = rng_.below(due_ + 1); takes > 0 && failure_.empty(); --takes) take();
      if (rng_.below(3) == 0) m_.run_for(milliseconds(rng_.below(3000)));
      if (rng_.below(40) == 0) another_life();
    }
  }

  /// One message, or as many of a size as one batch may have.
  bool submit() {
    const auto bytes = 1 + rng_.below(rng_.below(3) == 0 ? sizes_.large_bytes : 4000);
    const auto most = std::clamp<std::size_t>(sizes_.options.max_batch_bytes * 9 / 10 / (bytes + 120), 1, 1000);
    const auto count = rng_.below(4) == 0 ? 1 : 1 + rng_.below(most);
    auto how = sync_by("a");
    const bool due = rng_.below(3) != 0;
    if (!due) how.not_before = m_.world.wall() + hours(1000);
    const Submission one{encode(Message(gossip("s", std::string(bytes, 's')))).value(), how};
    const auto done = m_.answer<std::vector<Submitted>>(
        [&](auto answer) { m_.engine->submit_batch(std::vector<Submission>(count, one), std::move(answer)); });
    if (done && due) due_ += count;
    return done.has_value();
  }

  void take() {
    const auto taken = m_.take();
    if (!taken)
      failure_ = fmt::format("{} are due and cannot be taken: {}", due_, taken.error().to_string());
    else if (!*taken)
      failure_ = fmt::format("{} are due, and nothing comes", due_);
    --due_;
  }

  void another_life() {
    if (rng_.below(2) == 0)
      m_.power_cut(rng_.next());
    else if (auto stopped = m_.stop(); !stopped)
      failure_ = "stop: " + stopped.error().to_string();
    if (auto started = m_.start(); !started) failure_ = "start: " + started.error().to_string();
  }

  SeededRng rng_;
  Sizes sizes_;
  QueueMachine m_;
  std::size_t due_ = 0;
  std::string failure_;
};

Options real_sizes() {
  Options options;
  options.name = "sim";
  options.idempotency_window = seconds(5);
  return options;
}

Options small_sizes() {
  auto options = limit_options();
  options.segment_bytes_min = 128U << 10;
  options.segment_bytes_max = 256U << 10;
  options.max_batch_bytes = 2U << 20;
  return options;
}

TEST(WhatMustHold6, ADiskFullOfBatchesIsEmptiedOfAllThatIsDue) {
  const auto from = number_from_env("QH_FROM", 1), seeds = number_from_env("QH_SEEDS", 200);
  for (auto seed = from; seed < from + seeds; ++seed)
    ASSERT_EQ(FullOfBatches(seed, {small_sizes(), 3500, 256U << 10}).run(), "")
        << "replay: QH_FROM=" << seed << " QH_SEEDS=1";
}

TEST(WhatMustHold6, ADiskFullOfLargeMessagesIsEmptiedOfAllThatIsDue) {
  const auto from = number_from_env("QH_FROM", 440), seeds = number_from_env("QH_SEEDS", 40);
  for (auto seed = from; seed < from + seeds; ++seed)
    ASSERT_EQ(FullOfBatches(seed, {real_sizes(), 900'000, 4U << 20}).run(), "")
        << "replay: QH_FROM=" << seed << " QH_SEEDS=1";
}

/// A batch that would leave what is behind it no way out is refused, however much the segments that are there could
/// hold.
TEST(WhatMustHold6, ABatchMayNotFillWhatCarryingItOnTakes) {
  QueueMachine m(4, real_sizes(), at_once());
  ASSERT_TRUE(m.start());
  auto not_due = sync_by("a");
  not_due.not_before = m.world.wall() + hours(100);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(m.submit(gossip("s", std::string(900'000, 's')), not_due));
  m.run_for(seconds(2));
  m.disk.set_capacity(m.disk.used_bytes() + 3'000'000);
  const Submission one{encode(Message(gossip("s", std::string(4'000, 's')))).value(), sync_by("a")};
  std::size_t due = 0;
  for (const std::size_t count : {950U, 400U, 50U, 1U}) {
    while (m.answer<std::vector<Submitted>>(
        [&](auto answer) { m.engine->submit_batch(std::vector<Submission>(count, one), std::move(answer)); }))
      due += count;
  }
  EXPECT_GT(due, 100U);
  for (; due > 0; --due) {
    const auto taken = m.take();
    ASSERT_TRUE(taken) << due << " left: " << taken.error().to_string();
    ASSERT_TRUE(*taken) << due << " left";
  }
}

/// A dead letter is durable, also of a message that was only in memory; but not at the cost of those that were before.
TEST(WhatMustHold6, DeathsOfWhatWasOnlyInMemoryLeaveTheRoomOfTakes) {
  std::uint64_t dead = 0;
  for (std::uint64_t more = 100'000; more < 3'000'000; more += 58'000) {
    FullAndMoreInMemory full(more, seconds(10));
    full.m.run_for(seconds(20));
    ASSERT_EQ(full.m.engine->metrics().dead_letters, 300U);
    ASSERT_TRUE(full.takes_all_that_is_due()) << more << " more";
    // What was taken has made room, so they are written after all.
    full.m.run_for(seconds(20));
    full.m.power_cut(more);
    ASSERT_TRUE(full.m.start());
    dead += full.m.engine->metrics().dead_letters;
  }
  EXPECT_GT(dead, 0U);
}

}  // namespace
}  // namespace qh::queue
