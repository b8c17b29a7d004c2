// "What must hold" 5: what a queue takes on the disk follows what is alive in it.
//
// QH_SOAK=1 runs the numbers of the contract: a million messages, 100,000 rounds.
#include <algorithm>

#include <gtest/gtest.h>

#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool soak() { return number_from_env("QH_SOAK", 0) != 0; }

Options space_options() {
  auto options = small_options();
  options.segment_bytes_min = 64U << 10;
  options.segment_bytes_max = 256U << 10;
  options.idempotency_keys_max = 200;
  options.dead_letters_max = 50;
  return options;
}

class SpaceMachine : public QueueMachine {
 public:
  explicit SpaceMachine(std::uint64_t seed, Options queue_options = space_options())
      : QueueMachine(seed, std::move(queue_options), at_once()) {}

  /// Bytes of the queue's files, those aside not counted, and the largest segment.
  std::pair<std::uint64_t, std::uint64_t> on_disk() {
    std::uint64_t sum = 0, largest = 0;
    auto entries = answer<std::vector<Storage::Entry>>([&](auto done) { disk.list(std::move(done)); });
    for (const auto& entry : *entries) {
      if (entry.name.ends_with(".torn")) continue;
      sum += entry.bytes;
      if (entry.name.ends_with(".wal") || entry.name.ends_with(".new")) largest = std::max(largest, entry.bytes);
    }
    return {sum, largest};
  }

  /// The bound of the contract, at this moment.
  ::testing::AssertionResult bounded() {
    const auto [bytes, largest] = on_disk();
    const auto live = engine->metrics().wal_live_bytes;
    peak = std::max(peak, bytes);
    if (bytes < 2 * live + 4 * largest) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << bytes << " bytes on the disk for " << live << " live ones, largest segment "
                                         << largest << ", segments " << engine->metrics().wal_segments;
  }

  std::uint64_t peak = 0;
};

SubmitOptions later_than(const SpaceMachine& m, Duration delay) {
  auto how = sync_by("a");
  how.not_before = const_cast<SpaceMachine&>(m).world.wall() + delay;
  return how;
}

TEST(WhatMustHold5, OneDelayedMessagePinsNothing) {
  SpaceMachine m(1);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("later", "the same"), later_than(m, std::chrono::hours(24 * 300))));
  const auto count = soak() ? 1'000'000 : 20'000;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(m.submit(gossip("passing", std::string(static_cast<std::size_t>(i % 300), 'x')), sync_by("a")));
    auto leased = m.lease();
    ASSERT_EQ(leased->size(), 1U);
    ASSERT_EQ(m.ack(leased->at(0).lease)->done, 1U);
    if (i % 16 == 0) m.run_for(milliseconds(i % 100));
    if (i % 64 == 0) {
      ASSERT_TRUE(m.bounded()) << "after " << i << " messages";
    }
  }
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_TRUE(m.bounded());
  const auto found = m.engine->find(MessageId(1));
  ASSERT_EQ(found.state, MessageState::kDelayed);
  EXPECT_EQ(std::get<Gossip>(found.message->message()).data, to_bytes("the same"));
  EXPECT_EQ(m.engine->metrics().counters.acked, static_cast<std::uint64_t>(count));
  std::printf("%d messages: at most %llu bytes on the disk\n", count, static_cast<unsigned long long>(m.peak));
}

TEST(WhatMustHold5, RoundsOfLeaseAndNackAreGarbageAtOnce) {
  auto options = space_options();
  options.max_deliveries = 1000;
  SpaceMachine m(2, options);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("again"), sync_by("a")));
  const auto rounds = soak() ? 100'000 : 5'000;
  for (int i = 0; i < rounds; ++i) {
    auto leased = m.lease();
    ASSERT_EQ(leased->size(), 1U);
    const std::vector<LeaseId> lease = {leased->at(0).lease};
    // The count starts again before the message dies of it.
    if (i % 900 == 899) {
      ASSERT_TRUE(m.answer<LeaseOutcome>([&](auto done) { m.engine->hold(lease, std::move(done)); }));
    }
    ASSERT_TRUE(m.nack(lease[0], Duration(0), std::string(static_cast<std::size_t>(i % 1000), 'e')));
    if (i % 32 == 0) {
      ASSERT_TRUE(m.bounded()) << "after " << i << " rounds";
    }
  }
  m.process_kill(2);
  ASSERT_TRUE(m.start());
  EXPECT_TRUE(m.bounded());
  EXPECT_EQ(m.engine->find(MessageId(1)).state, MessageState::kReady);
}

// All that lives on behind its message: dead letters up to their bound, keys up to theirs.
TEST(WhatMustHold5, DeadLettersAndKeysTakeTheirShareAndNoMore) {
  auto options = space_options();
  options.max_deliveries = 1;
  SpaceMachine m(3, options);
  ASSERT_TRUE(m.start());
  const auto count = soak() ? 200'000 : 6'000;
  for (int i = 0; i < count; ++i) {
    auto how = sync_by("a");
    if (i % 2 == 0) how.idempotency_key = "key " + std::to_string(i);
    ASSERT_TRUE(m.submit(gossip("x", std::string(static_cast<std::size_t>(i % 700), 'x')), how));
    auto leased = m.lease();
    ASSERT_EQ(leased->size(), 1U);
    if (i % 3 == 0) {
      ASSERT_TRUE(m.nack(leased->at(0).lease, Duration(0), "dies of it"));
    } else {
      ASSERT_TRUE(m.ack(leased->at(0).lease));
    }
    m.run_for(milliseconds(10));
    if (i % 32 == 0) {
      ASSERT_TRUE(m.bounded()) << "after " << i << " messages";
    }
  }
  EXPECT_EQ(m.engine->metrics().dead_letters, 50U);
  EXPECT_EQ(m.engine->metrics().idempotency_keys, 200U);
  m.power_cut(3);
  ASSERT_TRUE(m.start());
  EXPECT_TRUE(m.bounded());
  EXPECT_EQ(m.engine->metrics().dead_letters, 50U);
}

// A queue that fills up and empties gives the space back.
TEST(WhatMustHold5, AFloodThatIsDrainedGivesItsSpaceBack) {
  SpaceMachine m(4);
  ASSERT_TRUE(m.start());
  for (int wave = 0; wave < 3; ++wave) {
    for (int i = 0; i < 3'000; ++i) {
      ASSERT_TRUE(m.submit(gossip("flood", std::string(1000, 'f')), sync_by("a")));
      if (i % 64 == 0) {
        ASSERT_TRUE(m.bounded()) << "wave " << wave << ", in " << i;
      }
    }
    for (int i = 0; i < 3'000; ++i) {
      ASSERT_TRUE(m.take());
      if (i % 64 == 0) {
        ASSERT_TRUE(m.bounded()) << "wave " << wave << ", out " << i;
      }
    }
  }
  m.run_for(seconds(5));
  EXPECT_LT(m.on_disk().first, 6U << 20) << "three waves of 3 MB have gone through";
}

void fill(SpaceMachine& m, int batches) {
  const std::vector<Submission> some(
      200, Submission{encode(Message(gossip("x", std::string(100, 'x')))).value(), sync_by("a")});
  for (int i = 0; i < batches; ++i) {
    ASSERT_TRUE(m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(some, std::move(done)); }));
  }
}

/// Who takes one message after the other ends what the compactor would write again.
TEST(WhatMustHold5, AHeadThatIsBeingTakenIsCarriedOnlyWhenItIsLeftAlone) {
  SpaceMachine m(10);
  ASSERT_TRUE(m.start());
  fill(m, 100);
  m.run_for(seconds(5));
  std::uint64_t taken = 0;
  const auto take = [&] {
    const auto got = m.answer<std::vector<Taken>>([&](auto done) {
      m.engine->take_batch({KindMask::all(), MonoTime{}}, 100, std::move(done));
    });
    EXPECT_TRUE(m.bounded());
    taken += got->size();
  };
  const auto before = m.engine->metrics();
  while (m.engine->metrics().wal_live_bytes > before.wal_live_bytes / 2) take();
  const auto heads = before.wal_segments - m.engine->metrics().wal_segments;
  ASSERT_GT(heads, 3U);
  const auto records = m.engine->metrics().wal_appended_seq - before.wal_appended_seq;
  EXPECT_LT(records, taken + 10 * heads) << "messages were written again that were about to be taken";
  // Left alone, the rest of a head that is mostly dead goes to the end of the log.
  bool carried = false;
  for (int i = 0; i < 50 && !carried; ++i) {
    take();
    const auto appended = m.engine->metrics().wal_appended_seq;
    m.run_for(seconds(2));
    carried = m.engine->metrics().wal_appended_seq > appended + 10;
  }
  EXPECT_TRUE(carried);
  EXPECT_TRUE(m.bounded());
}

/// Also where the last of its segments holds most of the log, and the rest of it is a small part of that.
TEST(WhatMustHold5, ADrainToTheLastWritesNoMessageAgain) {
  auto options = space_options();
  options.segment_bytes_max = 1U << 20;
  SpaceMachine m(11, options);
  ASSERT_TRUE(m.start());
  fill(m, 100);
  const auto before = m.engine->metrics();
  std::uint64_t taken = 0;
  for (bool more = true; more;) {
    const auto got = m.answer<std::vector<Taken>>([&](auto done) {
      m.engine->take_batch({KindMask::all(), MonoTime{}}, 100, std::move(done));
    });
    taken += got->size();
    more = !got->empty();
    ASSERT_TRUE(m.bounded()) << "after " << taken;
  }
  ASSERT_EQ(taken, 20'000U);
  const auto records = m.engine->metrics().wal_appended_seq - before.wal_appended_seq;
  EXPECT_LT(records, taken + 10 * before.wal_segments);
}

// -- At rest -----------------------------------------------------------------------------------------------------

TEST(WhatMustHold5, KeysThatExpireAtRestGiveTheirSpaceBack) {
  auto options = small_options();
  options.idempotency_window = std::chrono::minutes(10);
  SpaceMachine m(7, options);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 5'000; ++i) {
    auto how = sync_by("a");
    how.idempotency_key = std::string(110, 'k') + std::to_string(i);
    ASSERT_TRUE(m.submit(gossip("x"), how));
    ASSERT_TRUE(m.take());
  }
  ASSERT_EQ(m.engine->metrics().idempotency_keys, 5'000U);
  m.run_for(std::chrono::minutes(11));
  EXPECT_EQ(m.engine->metrics().wal_live_bytes, 0U);
  EXPECT_TRUE(m.bounded());
}

TEST(WhatMustHold5, AfterALargePurgeTheSpaceBoundHolds) {
  SpaceMachine m(8, small_options());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 30'000; ++i) ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  ASSERT_TRUE(m.bounded());
  ASSERT_TRUE(
      m.answer<std::uint64_t>([&](auto done) { m.engine->purge(KindMask::all(), Duration(0), std::move(done)); }));
  m.run_for(seconds(5));
  EXPECT_EQ(m.engine->metrics().wal_live_bytes, 0U);
  EXPECT_TRUE(m.bounded());
}

/// `count` messages in and out, `apart` from each other.
void pass_through(SpaceMachine& m, int count, Duration apart) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(m.submit(gossip("passing", std::string(3'000, 'p')), sync_by("a")));
    ASSERT_TRUE(m.take());
    m.run_for(apart);
  }
}

Options growing_options() {
  auto options = small_options();
  options.segment_bytes_max = 1U << 20;
  return options;
}

TEST(WhatMustHold5, AfterABurstTheSegmentsAreSmallAgain) {
  SpaceMachine m(9, growing_options());
  ASSERT_TRUE(m.start());
  pass_through(m, 3'000, Duration(0));
  ASSERT_EQ(m.on_disk().second, 1U << 20) << "they grow with the load";
  m.run_for(std::chrono::minutes(3));
  EXPECT_EQ(m.on_disk().second, 64U << 10);
  EXPECT_LT(m.on_disk().first, 4U * (64U << 10));
  m.power_cut(9);
  ASSERT_TRUE(m.start());
  EXPECT_TRUE(m.submit(gossip("on"), sync_by("a")));
}

TEST(WhatMustHold5, AfterABurstATrickleDoesNotKeepThemLarge) {
  SpaceMachine m(10, growing_options());
  ASSERT_TRUE(m.start());
  pass_through(m, 3'000, Duration(0));
  ASSERT_EQ(m.on_disk().second, 1U << 20);
  pass_through(m, 30, seconds(10));
  EXPECT_EQ(m.on_disk().second, 64U << 10);
  EXPECT_LT(m.on_disk().first, 4U * (64U << 10));
}

TEST(WhatMustHold5, ShrinkingCarriesOnWhatIsAliveAndEnds) {
  SpaceMachine m(11, growing_options());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(m.submit(gossip("stays", std::string(5'000, 's')), later_than(m, std::chrono::hours(24 * 30))));
  pass_through(m, 3'000, Duration(0));
  ASSERT_EQ(m.on_disk().second, 1U << 20);
  m.run_for(std::chrono::minutes(10));
  EXPECT_TRUE(m.bounded());
  const auto appended = m.engine->metrics().wal_appended_seq;
  m.run_for(std::chrono::hours(2));
  EXPECT_EQ(m.engine->metrics().wal_appended_seq, appended) << "it is at rest";
  // What is alive in one segment must fit into the next, so those stay as large as that.
  EXPECT_LT(m.on_disk().second, m.engine->metrics().wal_live_bytes * 3 / 2);
  m.process_kill(11);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 100U);
}

// -- Recycling ---------------------------------------------------------------------------------------------------

/// Messages in and out with `behind` of them alive: of the segments that were entered, nearly all were old ones.
void expect_recycling(int behind) {
  auto options = small_options();
  options.segment_bytes_min = options.segment_bytes_max = 256U << 10;  // its blocks are small beside it
  SpaceMachine m(12, options);
  ASSERT_TRUE(m.start());
  const auto step = [&](bool in, bool out) {
    if (in) {
      ASSERT_TRUE(m.submit(gossip("lag", std::string(3'000, 'l')), sync_by("a")));
    }
    if (out) {
      ASSERT_TRUE(m.take());
    }
  };
  for (int i = 0; i < behind; ++i) step(true, false);
  for (int i = 0; i < 1'500; ++i) step(true, true);
  const auto zeroed = m.disk.count(DiskOp::kZeroFill);
  const auto before = m.engine->metrics();
  for (int i = 0; i < 6'000; ++i) {
    step(true, true);
    ASSERT_TRUE(m.bounded()) << behind << " behind, after " << i;
  }
  const auto after = m.engine->metrics();
  const auto entered = after.wal_compactions - before.wal_compactions;
  EXPECT_GT(entered, 100U);
  EXPECT_GE(after.wal_recycles - before.wal_recycles, entered * 9 / 10) << behind << " behind";
  EXPECT_LE(m.disk.count(DiskOp::kZeroFill) - zeroed, entered / 10) << behind << " behind";
}

TEST(WhatMustHold5, InASteadyStateSegmentsAreRecycled) {
  for (const int behind : {0, 10, 40, 100, 240, 800}) expect_recycling(behind);
}

// Nothing but starts and ends: the log has a record or two of each, and they are garbage at once.
void restart_often(SpaceMachine& m, bool kill) {
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(m.submit(gossip("stays", std::string(500, 's')), later_than(m, std::chrono::hours(24))));
  std::uint64_t early = 0;
  const auto starts = soak() ? 5'000 : 200;
  for (int i = 0; i < starts; ++i) {
    if (kill)
      m.process_kill(static_cast<std::uint64_t>(i));
    else {
      ASSERT_TRUE(m.stop());
    }
    const auto report = m.start();
    ASSERT_TRUE(report) << report.error().to_string();
    ASSERT_TRUE(m.bounded()) << "after " << i << " starts";
    ASSERT_EQ(m.engine->depth().total(), 20U);
    if (i == 50) early = m.on_disk().first;
  }
  EXPECT_LE(m.on_disk().first, early + (1U << 20)) << "it grows with every start";
}
TEST(WhatMustHold5, ManyStopsDoNotGrowIt) {
  SpaceMachine m(5);
  restart_often(m, false);
}
TEST(WhatMustHold5, ManyKillsDoNotGrowIt) {
  SpaceMachine m(6);
  restart_often(m, true);
}

}  // namespace
}  // namespace qh::queue
