// What a submit leaves behind that a full disk refused: the wish for its room, which must not outlive its reason, stand
// in the way of others, or keep the node busy.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr std::uint64_t kSegmentBytes = 256U << 10;

Options large_batches() {
  auto options = limit_options();
  options.segment_bytes_min = 128U << 10;
  options.segment_bytes_max = kSegmentBytes;
  options.max_batch_bytes = 2U << 20;
  return options;
}

std::vector<Submission> messages(std::size_t count, std::size_t bytes) {
  return std::vector<Submission>(count, {encode(Message(gossip("s", std::string(bytes, 's')))).value(), sync_by("a")});
}

Result<std::vector<Submitted>> submit_batch(QueueMachine& m, std::vector<Submission> batch) {
  return m.answer<std::vector<Submitted>>(
      [&](auto done) { m.engine->submit_batch(std::move(batch), std::move(done)); });
}

/// The disk has `more` left, and has refused one batch.
void refuse(QueueMachine& m, std::uint64_t more, std::vector<Submission> batch) {
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + more);
  ASSERT_FALSE(submit_batch(m, std::move(batch)));
}

TEST(ARefusal, DoesNotCancelWhatALargerBatchWaitsFor) {
  for (std::size_t first = 200; first <= 400; first += 100) {
    for (std::size_t steps = 0; steps < 60; steps += 3) {
      SCOPED_TRACE(fmt::format("{} messages refused, then {} steps", first, steps));
      QueueMachine m(first + steps, large_batches());
      refuse(m, 400'000, messages(first, 3'500));
      m.run_for(milliseconds(100));
      m.disk.set_capacity(UINT64_MAX);
      ASSERT_TRUE(m.run_until([&] { return !m.engine->metrics().storage_full; }, 100'000));
      for (std::size_t i = 0; i < steps; ++i) m.step();
      ASSERT_TRUE(submit_batch(m, messages(550, 3'500)));
      ASSERT_TRUE(submit_batch(m, messages(1, 10)));
    }
  }
}

TEST(ARefusal, OfABatchTooLargeForTheDiskIsForgottenBehindSmallerOnes) {
  for (const std::uint64_t more : {600'000U, 1'000'000U, 1'500'000U}) {
    QueueMachine m(more, large_batches(), at_once());
    refuse(m, more, messages(550, 3'500));
    int red = 0;
    for (int i = 0; i < 2'000; ++i) {
      ASSERT_TRUE(submit_batch(m, messages(1, 1'000)));
      ASSERT_TRUE(m.take());
      m.run_for(milliseconds(100));
      red += m.engine->metrics().storage_full ? 1 : 0;
    }
    EXPECT_LT(red, 1'000) << more;
    EXPECT_FALSE(m.engine->metrics().storage_full) << more;
    EXPECT_LE(m.engine->metrics().wal_bytes, 4 * kSegmentBytes) << more;
  }
}

TEST(ARefusal, OfABatchTooLargeForTheDiskIsForgottenWhenTheQueueIsEmpty) {
  for (const std::uint64_t more : {600'000U, 900'000U, 1'500'000U}) {
    QueueMachine m(more, large_batches(), at_once());
    ASSERT_TRUE(m.start());
    m.disk.set_capacity(m.disk.used_bytes() + more);
    int there = 0;
    while (there < 600 && submit_batch(m, messages(1, 1'000))) ++there;
    ASSERT_FALSE(submit_batch(m, messages(550, 3'500)));
    for (; there > 0; --there) ASSERT_TRUE(m.take());
    m.run_for(minutes(1));
    EXPECT_FALSE(m.engine->metrics().storage_full) << more;
    EXPECT_LE(m.engine->metrics().wal_bytes, 4 * kSegmentBytes) << more;
  }
}

TEST(ARefusal, LeavesNoSpaceBehindWhenThereIsRoom) {
  for (const std::uint64_t more : {600'000U, 1'000'000U, 1'500'000U}) {
    QueueMachine m(more, large_batches());  // its operations take time
    refuse(m, more, messages(550, 3'500));
    m.run_for(minutes(1));
    EXPECT_TRUE(m.engine->metrics().storage_full) << more;
    m.disk.set_capacity(UINT64_MAX);
    m.run_for(minutes(2));
    EXPECT_FALSE(m.engine->metrics().storage_full) << more << ": nobody had to ask";
    EXPECT_LE(m.engine->metrics().wal_bytes, 4 * kSegmentBytes) << more;
  }
}

/// With a damaged segment that waits to be put aside, which the pool has to do whatever else has failed.
void take_by_eights(QueueMachine& m) {
  for (int round = 0; round < 100; ++round) {
    int open = 8;
    for (int i = 0; i < 8; ++i) m.engine->take({KindMask::all(), MonoTime{}}, [&](auto) { --open; });
    std::size_t steps = 0;
    for (auto at = m.world.mono(); open > 0; ++steps) {
      m.step();
      if (std::exchange(at, m.world.mono()) != m.world.mono()) steps = 0;
      ASSERT_LT(steps, 10'000U) << "it turns without time passing";
    }
  }
}

TEST(ARefusal, DoesNotMakeTheEngineTurnWithoutTimePassing) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(seed);
    QueueMachine m(seed, limit_options());
    ASSERT_TRUE(m.start());
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(submit_batch(m, messages(1, 1'500)));
    m.power_cut(seed);
    const auto names = m.disk.names();
    const auto segment = std::find_if(names.begin(), names.end(), [](const auto& n) { return n.ends_with(".wal"); });
    ASSERT_NE(segment, names.end());
    m.disk.corrupt(*segment, 40'000, std::byte{0xff});
    ASSERT_TRUE(m.start(true));
    m.disk.set_capacity(m.disk.used_bytes() + 50'000);
    for (int refused = 0; refused < 3;) refused += submit_batch(m, messages(1, 1'500)) ? 0 : 1;
    take_by_eights(m);
    m.engine.reset();
  }
}

}  // namespace
}  // namespace qh::queue
