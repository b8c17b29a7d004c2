// A torn tail is cut off, and the log goes on where it ended: nothing of the tail comes back behind what is written
// then, and the rest of its segment is still there for a full disk.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

Message letter(const std::string& topic) { return gossip(topic, std::string(100, 'm')); }

/// Two writes are under way when the power goes: of some seeds the first one is lost and the second is on the disk.
class TwoUnderWay {
 public:
  explicit TwoUnderWay(std::uint64_t seed) : m_(seed, several_in_flight()) {
    EXPECT_TRUE(m_.start());
    EXPECT_TRUE(m_.submit(letter("before"), sync_by("a")));
    m_.run_for(seconds(1));
    for (const auto* topic : {"first", "second"}) {
      m_.engine->submit({encode(letter(topic)).value(), sync_by("a")}, [](const Result<Submitted>&) {});
      m_.step();
    }
    EXPECT_EQ(m_.disk.in_flight(), 2U);
    m_.power_cut(seed);
    const auto report = m_.start();
    EXPECT_TRUE(report);
    second_alone_ = report && report->torn_bytes > 0 && m_.engine->depth().total() == 1 &&
                    report->notes.front().find("are missing before") != std::string::npos;
  }

  bool second_alone() const { return second_alone_; }
  QueueMachine& machine() { return m_; }

 private:
  static Options several_in_flight() {
    auto options = limit_options();
    options.batches_in_flight = 4;
    return options;
  }

  QueueMachine m_;
  bool second_alone_ = false;
};

std::vector<std::string> topics(QueueMachine& m) {
  std::vector<std::string> found;
  for (const auto& queued : m.engine->peek(100)) found.push_back(std::get<Gossip>(queued.message()).topic);
  return found;
}

/// As many records as the lost write had are written in its place, or one less or more: the second one would follow
/// them as if it were of this life.
TEST(ATornTail, DoesNotComeBackBehindWhatIsWrittenInItsPlace) {
  int seen = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    for (int more = 0; more < 3; ++more) {
      TwoUnderWay cut(seed);
      if (!cut.second_alone()) break;
      ++seen;
      std::vector<std::string> expected = {"before"};
      auto& m = cut.machine();
      for (int i = 0; i < more; ++i) {
        expected.push_back(fmt::format("behind {}", i));
        ASSERT_TRUE(m.submit(letter(expected.back()), sync_by("a")));
      }
      m.process_kill(seed);
      const auto report = m.start();
      ASSERT_TRUE(report) << report.error().to_string();
      EXPECT_EQ(report->torn_bytes, 0U) << "seed " << seed << ": it was cut off";
      EXPECT_EQ(topics(m), expected) << "seed " << seed;
    }
  }
  EXPECT_GE(seen, 15);
}

/// A batch of two blocks of which only the second is on the disk: nothing says that it is one, so it is no torn tail.
/// Half of a batch that is lost in its place later would make it one again.
TEST(ATornTail, LeavesNothingBehindOfABatchWhoseBeginningWasLost) {
  const std::string mark(64, '#');
  int seen = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    QueueMachine m(seed, limit_options());
    ASSERT_TRUE(m.start());
    ASSERT_TRUE(m.submit(letter("before"), sync_by("a")));
    m.run_for(seconds(1));
    m.engine->submit({encode(Message(gossip("cut", std::string(3'800, 'c')))).value(), sync_by("a")},
                     [](const Result<Submitted>&) {});
    m.engine->submit({encode(Message(gossip("cut", std::string(2'000, '#')))).value(), sync_by("a")},
                     [](const Result<Submitted>&) {});
    m.step();
    m.power_cut(seed);
    const auto there = [&] {
      const auto bytes = *m.disk.contents("00000001.wal");
      return as_text(bytes).find(mark) != std::string_view::npos;
    };
    const bool was_there = there();
    const auto report = m.start();
    ASSERT_TRUE(report);
    if (!was_there || report->torn_bytes > 0 || m.engine->depth().total() != 1) continue;
    ++seen;
    EXPECT_FALSE(there()) << "seed " << seed;
  }
  EXPECT_GE(seen, 5);
}

/// Where a start went on in the next segment, the rest of this one was lost to takes.
TEST(WhatMustHold6, ACutInAWriteOnAFullDiskTakesNothingOfTheRoomOfTakes) {
  const auto from = number_from_env("QH_FROM", 150), seeds = number_from_env("QH_SEEDS", 50);
  int torn = 0;
  for (auto seed = from; seed < from + seeds; ++seed) {
    SeededRng rng(seed);
    auto options = limit_options();
    options.segment_bytes_min = 512U << 10;
    options.segment_bytes_max = 2 * options.segment_bytes_min;
    options.max_message_bytes = 64U << 10;
    options.max_batch_bytes = 1U << 20;
    QueueMachine m(seed, options, {.inline_share = 0});
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto segment = options.segment_bytes_min;
    m.disk.set_capacity(m.disk.used_bytes() + segment * (2 + rng.below(20)) + rng.below(segment));
    for (int refused = 0; refused < 3;) {
      const auto bytes = 1 + rng.below(rng.below(8) != 0 ? 2000 : 60'000);
      if (!m.submit(gossip("s", std::string(bytes, 's')), sync_by("a"))) ++refused;
    }
    // Consumers work: a few takes are under way when it happens, and again in the middle of what the start does.
    for (int i = 0; i < 3; ++i)
      m.engine->take_batch({KindMask::all(), MonoTime{}}, 20, [](const Result<std::vector<Taken>>&) {});
    for (const std::uint64_t steps_below : {8U, 60U}) {
      for (auto steps = rng.below(steps_below); steps > 0; --steps) m.step();
      m.power_cut(rng.next());
      const auto report = m.start();
      ASSERT_TRUE(report) << "seed " << seed << ": " << report.error().to_string();
      torn += report->torn_bytes > 0;
    }
    while (m.engine->depth().total() > 0) {
      const auto taken = m.take();
      ASSERT_TRUE(taken && *taken) << "seed " << seed << ", " << m.engine->depth().total()
                                   << " left: " << (taken ? "nothing comes" : taken.error().to_string());
    }
  }
  EXPECT_GT(torn, 0);
}

}  // namespace
}  // namespace qh::queue
