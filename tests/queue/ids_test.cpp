// An id that somebody was told is never given again, whatever is cut; and what a submit holds or writes is asked for.
#include <set>

#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

SubmitOptions by(Durability durability, std::string key = {}) {
  auto how = sync_by("a");
  how.durability = durability;
  how.idempotency_key = std::move(key);
  return how;
}
Submission one(const Message& message, SubmitOptions how) { return {encode(message).value(), std::move(how)}; }

Options plain_options() {
  Options options;
  options.name = "sim";
  return options;
}

/// Sync submits do not wait for ids to be reserved, so that with many in flight theirs lie above what is.
std::optional<MessageId> told_while_under_way(QueueMachine& m, bool in_a_batch) {
  for (int i = 0; i < 2'000; ++i) m.engine->submit(one(gossip("x"), by(Durability::kSync)), [](auto) {});
  m.engine->submit(one(gossip("first"), by(Durability::kSync, "K")), [](auto) {});
  auto told = std::make_shared<std::optional<MessageId>>();
  if (in_a_batch) {
    m.engine->submit_batch({one(gossip("first"), by(Durability::kAsync, "K"))}, [told](auto answers) {
      if (answers) *told = answers->at(0).id;
    });
  } else {
    m.engine->submit(one(gossip("first"), by(Durability::kAsync, "K")), [told](auto answer) {
      if (answer) *told = answer->id;
    });
  }
  return *told;
}

TEST(Ids, WhatAnAsyncRepeatIsToldIsNotGivenAgain) {
  for (const bool in_a_batch : {false, true}) {
    QueueMachine m(1, plain_options());
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto told = told_while_under_way(m, in_a_batch);
    m.power_cut(1);
    ASSERT_TRUE(m.start());
    for (int i = 0; told && i < 2'500; ++i) {
      const auto next = m.submit(gossip("other"), by(Durability::kAsync));
      ASSERT_TRUE(next) << next.error().to_string();
      ASSERT_NE(next->id, *told) << "given again";
    }
  }
}

TEST(Ids, AnAsyncRepeatOfOneUnderWayIsAnsweredWithItsId) {
  for (const bool in_a_batch : {false, true}) {
    QueueMachine m(1, plain_options());
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    told_while_under_way(m, in_a_batch);
    const auto again = m.submit(gossip("first"), by(Durability::kAsync, "K"));
    ASSERT_TRUE(again);
    EXPECT_TRUE(again->duplicate && again->persisted);
    EXPECT_EQ(again->id.value(), 2'001U);
  }
}

TEST(Ids, AGivenIdOfAnAsyncSubmitIsNotGivenAgain) {
  QueueMachine m(1, plain_options());
  ASSERT_TRUE(m.start());
  auto how = by(Durability::kAsync);
  how.id = MessageId(3'000);
  const auto given = m.submit(gossip("given"), how);
  ASSERT_TRUE(given);
  ASSERT_EQ(given->id, MessageId(3'000));
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  const auto next = m.submit(gossip("other"), by(Durability::kAsync));
  ASSERT_TRUE(next);
  EXPECT_GT(next->id, MessageId(3'000));
}

/// However far away a given id is, the ids behind it stay numbers that JSON can show.
TEST(Ids, TheLargestGivenIdLeavesAsManyBehindIt) {
  QueueMachine m(1, plain_options());
  ASSERT_TRUE(m.start());
  auto how = by(Durability::kAsync);
  how.id = MessageId((std::uint64_t{1} << 52) - 1);
  ASSERT_TRUE(m.submit(gossip("given"), how));
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  const auto next = m.submit(gossip("other"), by(Durability::kAsync));
  ASSERT_TRUE(next);
  EXPECT_LT(next->id, MessageId((std::uint64_t{1} << 52) + (1U << 22)));
}

/// Held submits are under way while others use up the lease ids that are reserved.
TEST(Ids, LeaseIdsOfHeldSubmitsAreNotGivenAgain) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    QueueMachine m(seed, plain_options());
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    for (int i = 0; i < 400; ++i) ASSERT_TRUE(m.submit(gossip("memory"), by(Durability::kAsync)));
    m.run_for(seconds(1));
    std::set<LeaseId> before;
    int held = 0;
    for (int i = 0; i < 40; ++i) {
      m.engine->submit_held(one(gossip("held"), by(Durability::kSync)), [&](Result<Leased> leased) {
        ++held;
        before.insert(leased.value().lease);
      });
    }
    m.engine->pump();
    for (const std::uint32_t count : {400U, 400U, 200U}) {
      m.engine->lease({KindMask::all(), MonoTime{}}, count, seconds(30), [&](Result<std::vector<Leased>> leased) {
        std::vector<LeaseId> ids;
        for (const auto& each : leased.value()) ids.push_back(each.lease);
        before.insert(ids.begin(), ids.end());
        m.engine->nack(ids, Duration(0), "", [](auto) {});
      });
    }
    ASSERT_TRUE(m.run_until([&] { return held == 40; }));
    m.power_cut(seed);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto leased = m.lease(40);
    ASSERT_TRUE(leased);
    ASSERT_EQ(leased->size(), 40U);
    for (const auto& each : *leased) ASSERT_FALSE(before.contains(each.lease)) << each.lease.value() << " again";
  }
}

TEST(Repeats, ASyncRepeatOfOneTakenFromMemoryIsStillOneAfterACut) {
  for (const bool in_a_batch : {false, true}) {
    QueueMachine m(1);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto first = m.submit(gossip("x"), by(Durability::kAsync, "K"));
    const auto taken = m.take();
    ASSERT_TRUE(first && taken && *taken);
    if (in_a_batch) {
      const auto repeats = m.answer<std::vector<Submitted>>(
          [&](auto done) { m.engine->submit_batch({one(gossip("x"), by(Durability::kSync, "K"))}, std::move(done)); });
      ASSERT_TRUE(repeats && repeats->at(0).duplicate && repeats->at(0).persisted);
    } else {
      const auto repeat = m.submit(gossip("x"), by(Durability::kSync, "K"));
      ASSERT_TRUE(repeat && repeat->duplicate && repeat->persisted);
    }
    m.power_cut(1);
    ASSERT_TRUE(m.start());
    const auto later = m.submit(gossip("x"), by(Durability::kSync, "K"));
    ASSERT_TRUE(later);
    EXPECT_TRUE(later->duplicate);
    EXPECT_EQ(later->id, first->id);
  }
}

// -- Room and bounds -----------------------------------------------------------------------------------------

/// Their keys stand for messages in memory that are much larger than the repeats.
TEST(WhatMustHold6, ABatchOfRepeatsLeavesAFullDiskTheRoomForTakes) {
  auto options = limit_options();
  options.segment_bytes_max = 512U << 10;
  QueueMachine m(7, options, at_once());
  ASSERT_TRUE(m.start());
  constexpr int kLarge = 150;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(m.submit(BlockImport{}, sync_by("a")));
  for (int i = 0; i < kLarge; ++i) {
    const auto key = "K" + std::to_string(i);
    ASSERT_TRUE(m.submit(gossip("large", std::string(3'500, 'x')), by(Durability::kAsync, key)));
  }
  m.run_for(seconds(2));
  m.disk.set_capacity(m.disk.used_bytes());
  std::vector<Submission> repeats;
  repeats.reserve(kLarge);
  for (int i = 0; i < kLarge; ++i) repeats.push_back(one(gossip("l"), by(Durability::kSync, "K" + std::to_string(i))));
  const auto refused =
      m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(std::move(repeats), std::move(done)); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kStorageFull);
  for (int i = 0; i < 5; ++i) {
    const auto taken = m.take(KindMask::of(Kind::kBlockImport));
    ASSERT_TRUE(taken) << taken.error().to_string();
    ASSERT_TRUE(taken->has_value());
  }
}

struct Asked {
  std::uint64_t unanswered = 0, refused = 0;
};

/// Many at once, of 7,000 bytes each, without a turn of the log between them.
Asked flood(QueueMachine& m, const SubmitOptions& how, std::size_t in_a_batch) {
  auto asked = std::make_shared<Asked>();
  const auto count = [asked](const auto& answer) {
    --asked->unanswered;
    if (!answer) ++asked->refused;
  };
  for (std::size_t i = 0; i < 2'000; i += in_a_batch) {
    ++asked->unanswered;
    const auto message = gossip("x", std::string(7'000, 'x'));
    if (in_a_batch == 1)
      m.engine->submit(one(message, how), count);
    else
      m.engine->submit_batch(std::vector<Submission>(in_a_batch, one(message, how)), count);
  }
  const Asked now = *asked;
  EXPECT_TRUE(m.run_until([&] { return asked->unanswered == 0; }));
  EXPECT_EQ(asked->refused, now.refused) << "who may wait is stored";
  return now;
}

TEST(Bounds, SubmitsThatWaitForRoomCountAsWhatTheQueueHolds) {
  for (const std::size_t in_a_batch : {1U, 4U}) {
    auto options = small_options();
    options.max_bytes = 300'000;
    QueueMachine m(1, options);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto asked = flood(m, by(Durability::kSync), in_a_batch);
    EXPECT_GT(asked.refused, 0U);
    EXPECT_LE(asked.unanswered * in_a_batch * 7'000, options.max_bytes);
    EXPECT_GE(asked.unanswered * in_a_batch * 7'000, options.max_bytes / 2);
  }
}

TEST(Bounds, SubmitsThatWaitForIdsCountAsWhatTheQueueHolds) {
  auto options = plain_options();
  options.max_bytes = 10'000'000;
  QueueMachine m(1, options);
  ASSERT_TRUE(m.start());  // and has reserved no ids yet
  const auto asked = flood(m, by(Durability::kAsync), 1);
  EXPECT_GT(asked.refused, 0U);
  EXPECT_LE(asked.unanswered * 7'000, options.max_bytes);
}

}  // namespace
}  // namespace qh::queue
