// A start with other options than those before it, each smaller or larger than what the log holds: nothing is lost but
// what the new options say must go, and nothing stops.
#include <map>

#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Options sized(std::uint64_t segment_min, std::uint64_t segment_max, std::uint32_t message) {
  auto options = small_options();
  options.segment_bytes_min = segment_min;
  options.segment_bytes_max = segment_max;
  options.max_message_bytes = options.max_tx_bytes = message;
  options.max_batch_bytes = 16U << 20;
  return options;
}

Gossip of_bytes(std::size_t bytes) { return gossip("x", std::string(bytes, 'x')); }

/// Puts and takes enough for the compactor to go round the log.
void go_round(QueueMachine& m, std::uint32_t body, std::uint64_t bytes) {
  for (std::uint64_t done = 0; done < bytes; done += body) {
    const auto id = m.submit(Telemetry{"x", Bytes(body)}, sync_by("a"));
    ASSERT_TRUE(id) << id.error().to_string();
    const auto taken = m.take(KindMask::of(Kind::kTelemetry));
    ASSERT_TRUE(taken) << taken.error().to_string();
    ASSERT_TRUE(taken->has_value());
  }
}

struct Change {
  Options from, to;
};

/// One large message lies in the log; whoever starts with smaller options carries it on, again and again.
void expect_carried(const Change& change, std::uint32_t large, SimDisk::Options disk) {
  QueueMachine m(1, change.from, disk);
  ASSERT_TRUE(m.start());
  auto how = sync_by("a");
  how.not_before = m.world.wall() + std::chrono::hours(1);
  const auto id = m.submit(of_bytes(large), how)->id;
  m.options = change.to;
  const auto small = change.to.max_message_bytes / 2;
  for (int life = 0; life < 4; ++life) {
    if (life % 2 == 0)
      m.power_cut(life);
    else
      m.process_kill(life);
    const auto report = m.start();
    ASSERT_TRUE(report) << report.error().to_string();
    go_round(m, small, 6 * std::max(change.from.segment_bytes_max, change.to.segment_bytes_max));
    ASSERT_TRUE(m.answer<void>([&](auto done) { m.engine->compact_wal(std::move(done)); }));
    const auto found = m.engine->find(id);
    ASSERT_EQ(found.state, MessageState::kDelayed) << "life " << life;
    ASSERT_EQ(found.message->body.view().size(), encode(Message(of_bytes(large)))->size());
  }
  m.world.jump_wall(std::chrono::hours(2));
  m.run_for(seconds(1));
  ASSERT_TRUE(m.take(KindMask::of(Kind::kGossip))->has_value());
  // Its segments are as small as they may be again after the next start.
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start());
  go_round(m, small, 6 * change.from.segment_bytes_max);
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start());
  go_round(m, small, 6 * change.from.segment_bytes_max);
  m.run_for(seconds(1));
  EXPECT_LE(m.engine->metrics().wal_bytes, 4 * change.to.segment_bytes_max + 2 * change.from.segment_bytes_max);
}

TEST(OtherOptions, ALargeMessageIsCarriedThroughSmallerSegments) {
  const Change change{sized(4U << 20, 8U << 20, 1U << 20), sized(64U << 10, 128U << 10, 8U << 10)};
  expect_carried(change, 900'000, at_once());
  expect_carried(change, 900'000, {});
}

TEST(OtherOptions, AMessageLargerThanABatchIsCarriedThroughSmallerSegments) {
  const Change change{sized(16U << 20, 16U << 20, 5U << 20), sized(4U << 20, 8U << 20, 1U << 20)};
  expect_carried(change, 4'500'000, at_once());
}

/// What was made ready by a smaller configuration is of no use to a larger message.
TEST(OtherOptions, LargeMessagesComeThroughSegmentsThatWereMadeReadyForSmallOnes) {
  QueueMachine m(1, sized(64U << 10, 64U << 10, 8U << 10), at_once());
  ASSERT_TRUE(m.start());
  m.run_for(seconds(1));
  m.options = sized(4U << 20, 8U << 20, 1U << 20);
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(m.submit(of_bytes(1'000'000), sync_by("a")));
  m.power_cut(2);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 10U);
}

/// A disk that is full of the small segments of an earlier configuration can be emptied, and used again.
TEST(OtherOptions, AFullDiskOfSmallSegmentsCanBeEmptiedByALargerConfiguration) {
  QueueMachine m(1, sized(64U << 10, 64U << 10, 8U << 10), at_once());
  ASSERT_TRUE(m.start());
  m.disk.set_capacity(m.disk.used_bytes() + (6U << 20));
  std::size_t there = 0;
  while (m.submit(of_bytes(4'000), sync_by("a"))) ++there;
  ASSERT_TRUE(m.stop() || true);
  m.options = sized(1U << 20, 1U << 20, 256U << 10);
  const auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  ASSERT_EQ(m.engine->depth().total(), there);
  for (; there > 0; --there) {
    const auto taken = m.take();
    ASSERT_TRUE(taken) << there << " left: " << taken.error().to_string();
    ASSERT_TRUE(taken->has_value());
  }
  m.run_for(seconds(5));
  const auto large = m.submit(of_bytes(250'000), sync_by("a"));
  EXPECT_TRUE(large) << large.error().to_string();
}

// -- Any options ---------------------------------------------------------------------------------------------

class AnyOptions {
 public:
  explicit AnyOptions(std::uint64_t seed) : rng_(seed), m_(seed, small_options(), disk(seed)) {}

  void run(int lives) {
    for (int life = 0; life < lives; ++life) {
      SCOPED_TRACE(::testing::Message() << "life " << life);
      choose();
      const auto report = m_.start();
      ASSERT_TRUE(report) << report.error().to_string();
      expect_all_there();
      for (int i = 0; i < 80; ++i) one();
      if (::testing::Test::HasFailure()) return;
      end();
    }
  }

 private:
  static SimDisk::Options disk(std::uint64_t seed) {
    SimDisk::Options disk;
    disk.inline_share = seed % 2 == 0 ? 1.0 : 0.5;
    return disk;
  }

  void choose() {
    auto& o = m_.options;
    o.max_message_bytes = 1U << (9 + rng_.below(9));  // to 128 KiB
    o.max_tx_bytes = 1U << (9 + rng_.below(9));
    const auto least = segment_bytes_for(o.max_message_bytes);
    o.segment_bytes_min = least + rng_.below(8) * wal::kBlockBytes;
    o.segment_bytes_max = o.segment_bytes_min << rng_.below(3);
    o.batches_in_flight = 1U << rng_.below(7);
    o.max_depth = 1 + rng_.below(60);
    o.max_bytes = 1'000 + rng_.below(1'000'000);
    o.max_batch_messages = static_cast<std::uint32_t>(1 + rng_.below(20));
    o.max_batch_bytes = 1U << (10 + rng_.below(10));
    o.max_waiters = static_cast<std::uint32_t>(1 + rng_.below(100));
    o.idempotency_keys_max = static_cast<std::uint32_t>(rng_.below(10));
    o.idempotency_window = milliseconds(rng_.below(20'000));
    o.fairness = static_cast<std::uint32_t>(rng_.below(3));
    o.max_deliveries = static_cast<std::uint32_t>(1 + rng_.below(4));
    o.dead_letters_max = rng_.below(10);
    o.dead_letter_bytes_max = rng_.below(100'000);
    o.dead_letter_age_max = seconds(rng_.below(100));
    o.queue_rate_limit = rng_.below(3) == 0 ? 10'000 : 0;
    o.idle_mark_after = milliseconds(rng_.below(100));
    o.name = rng_.below(2) == 0 ? "sim" : "another";
    ASSERT_TRUE(o.check()) << o.check().error().to_string();
  }

  /// A message may have died of the new options, and then have left; it is in no other way gone.
  void expect_all_there() {
    std::uint64_t missing = 0;
    for (const auto& [id, bytes] : there_) {
      const auto found = m_.engine->find(MessageId(id));
      if (found.state == MessageState::kGone)
        ++missing;
      else
        EXPECT_EQ(found.message->body.view().size(), bytes) << id;
    }
    EXPECT_LE(missing, m_.engine->metrics().counters.dead_evicted - evicted_);
    m_.engine->each([&](const Found& found) { EXPECT_TRUE(there_.contains(found.message->id.value())); });
  }

  void one() {
    const auto what = rng_.below(12);
    if (what < 5) {
      auto how = sync_by("a");
      if (rng_.below(3) == 0) how.idempotency_key = "key " + std::to_string(rng_.below(20));
      if (rng_.below(4) == 0) how.not_before = m_.world.wall() + seconds(rng_.below(1'000));
      const auto message = of_bytes(rng_.below(m_.options.max_message_bytes - 20));
      const auto done = m_.submit(message, how);
      if (done && !done->duplicate) there_[done->id.value()] = encode(Message(message))->size();
      const bool fits = encode(Message(message))->size() + how.idempotency_key.size() <=
                        m_.options.max_bytes - m_.options.max_bytes / 5;
      EXPECT_TRUE(done || done.error().code == (fits ? Errc::kQueueFull : Errc::kTooLarge)) << done.error().to_string();
    } else if (what < 7) {
      auto taken = m_.take();
      ASSERT_TRUE(taken) << taken.error().to_string();
      if (*taken) there_.erase(std::move(**taken).consume().id.value());
    } else if (what < 10) {
      const auto leased = m_.lease(1, seconds(1));
      ASSERT_TRUE(leased) << leased.error().to_string();
      if (leased->empty() || what == 9) return;
      EXPECT_TRUE(m_.nack(leased->at(0).lease, Duration(0), "an error"));
    } else if (what == 10) {
      EXPECT_TRUE(m_.answer<void>([&](auto done) { m_.engine->compact_wal(std::move(done)); }));
    } else {
      m_.run_for(milliseconds(rng_.below(3'000)));
    }
  }

  void end() {
    m_.run_for(milliseconds(200));  // to rest, where what is counted is in the log
    evicted_ = m_.engine->metrics().counters.dead_evicted;
    std::erase_if(there_, [&](const auto& message) {
      return m_.engine->find(MessageId(message.first)).state == MessageState::kGone;
    });
    const auto how = rng_.below(3);
    if (how == 0)
      ASSERT_TRUE(m_.stop());
    else if (how == 1)
      m_.process_kill(rng_.next());
    else
      m_.power_cut(rng_.next());
  }

  SeededRng rng_;
  QueueMachine m_;
  std::map<std::uint64_t, std::size_t> there_;
  std::uint64_t evicted_ = 0;
};

TEST(OtherOptions, AtEachStartLoseNothing) {
  const auto from = number_from_env("QH_FROM", 1);
  const auto seeds = number_from_env("QH_SEEDS", 60);
  for (std::uint64_t seed = from; seed < from + seeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    AnyOptions any(seed);
    any.run(8);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace qh::queue
