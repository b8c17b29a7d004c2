// What a repeat of a key, a cut batch and a late death are told, and that it holds: corners that a third review found.
#include <gtest/gtest.h>

#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

SubmitOptions keyed(Durability durability, std::string key) {
  auto how = sync_by("a");
  how.durability = durability;
  how.idempotency_key = std::move(key);
  return how;
}

Submission one(const Message& message, SubmitOptions how) { return {encode(message).value(), std::move(how)}; }

template <class T>
using Answer = std::shared_ptr<std::optional<Result<T>>>;

Answer<Submitted> ask(QueueMachine& m, Submission submission) {
  auto answer = std::make_shared<std::optional<Result<Submitted>>>();
  m.engine->submit(std::move(submission), [answer](Result<Submitted> result) { *answer = std::move(result); });
  return answer;
}
Answer<std::vector<Submitted>> ask_batch(QueueMachine& m, std::vector<Submission> batch) {
  auto answer = std::make_shared<std::optional<Result<std::vector<Submitted>>>>();
  m.engine->submit_batch(std::move(batch),
                         [answer](Result<std::vector<Submitted>> result) { *answer = std::move(result); });
  return answer;
}

bool is_gone(const QueueMachine& m, MessageId id) { return m.engine->find(id).state == MessageState::kGone; }

/// What a repeat was told, or its batch, if that was told anything: durable, and kept so.
std::vector<MessageId> promised_by(const std::vector<Answer<Submitted>>& alone,
                                   const std::vector<Answer<std::vector<Submitted>>>& batches) {
  std::vector<MessageId> ids;
  for (const auto& one : alone) {
    if (*one && **one && (**one)->persisted) ids.push_back((**one)->id);
  }
  for (const auto& batch : batches) {
    if (!*batch || !**batch) continue;
    for (const auto& one_of : ***batch) {
      if (one_of.persisted) ids.push_back(one_of.id);
    }
  }
  return ids;
}

/// A batch submit that takes several writes of the log; its members are repeated, alone and in batches, while only some
/// are done and until all are. The power goes with the first promise, or, by seed, so many steps behind it.
TEST(WhatMustHold2, ARepeatOfAMemberOfABatchIsAsDurableAsTheBatch) {
  int half_written = 0, answered = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Options options;
    options.name = "sim";
    options.batches_in_flight = seed % 2 == 0 ? 4 : 1;
    QueueMachine m(seed, options);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    std::vector<Submission> batch;
    batch.reserve(6);
    for (int i = 0; i < 6; ++i)
      batch.push_back(one(gossip("m", std::string(400'000, 'x')), keyed(Durability::kSync, "K" + std::to_string(i))));
    const auto members = batch;
    const auto writes = m.disk.count(DiskOp::kDurableWrite);
    const auto batched = ask_batch(m, std::move(batch));
    std::vector<Answer<Submitted>> alone;
    std::vector<Answer<std::vector<Submitted>>> batches;
    std::vector<MessageId> promised;
    std::uint64_t steps_left = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 1 + seed % 7 : 40;
    // Behind every pump and event: which one finds the batch half written is for the seed to say.
    for (std::size_t step = 0; step < 5'000 && (promised.empty() || steps_left-- > 0); ++step) {
      if (!m.step() || !m.step()) break;  // a pump, for what the last repeat asked, and an event
      promised = promised_by(alone, batches);
      if (!promised.empty() && steps_left == 0) break;
      if (m.engine->metrics().idempotency_keys < 6) continue;
      half_written += !*batched && m.disk.count(DiskOp::kDurableWrite) > writes + 1 ? 1 : 0;
      if (step % 2 == 0)
        alone.push_back(ask(m, members[step / 2 % 6]));
      else
        batches.push_back(ask_batch(m, {members[step / 2 % 6], members[(step / 2 + 2) % 6]}));
      promised = promised_by(alone, batches);
    }
    ASSERT_FALSE(promised.empty()) << "seed " << seed;
    answered += *batched ? 1 : 0;
    if (*batched) {
      ASSERT_TRUE(**batched);
      for (const auto& member : ***batched) promised.push_back(member.id);
    }
    m.power_cut(seed);
    ASSERT_TRUE(m.start());
    for (const auto id : promised)
      EXPECT_FALSE(is_gone(m, id)) << "seed " << seed << ": id " << id.value() << " was acknowledged, and is lost";
    std::size_t there = 0;
    m.engine->each([&](const Found&) { ++there; });
    EXPECT_EQ(there, 6U) << "seed " << seed << ": a repeat was a message by itself, or a part is lost";
  }
  EXPECT_GT(half_written, 100);
  EXPECT_GT(answered, 0);
}

TEST(WhatMustHold2, ABatchOfRepeatsWaitsForAllOfThem) {
  int tried = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    QueueMachine m(seed);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    const auto in_memory = one(gossip("x"), keyed(Durability::kSync, "X"));
    ASSERT_TRUE(m.submit(gossip("x"), keyed(Durability::kAsync, "X")));
    const auto in_flight = one(gossip("y"), keyed(Durability::kSync, "Y"));
    const auto first = ask(m, in_flight);
    const auto writes = m.disk.count(DiskOp::kDurableWrite);
    m.run_until([&] { return *first || m.disk.count(DiskOp::kDurableWrite) > writes; });
    if (*first) continue;
    const auto both = ask_batch(m, {in_memory, in_flight});
    ASSERT_TRUE(m.run_until([&] { return both->has_value(); }));
    ASSERT_TRUE(**both);
    ++tried;
    m.power_cut(seed);
    ASSERT_TRUE(m.start());
    for (const auto& submitted : ***both) {
      EXPECT_TRUE(submitted.persisted);
      EXPECT_FALSE(is_gone(m, submitted.id)) << "seed " << seed;
    }
  }
  EXPECT_GT(tried, 20);
}

TEST(Repeats, ARepeatSaysPersistedOnlyOnceItIs) {
  QueueMachine m(1);
  ASSERT_TRUE(m.start());
  m.run_for(seconds(1));
  const auto first = ask(m, one(gossip("x"), keyed(Durability::kSync, "K")));
  const auto early = ask(m, one(gossip("x"), keyed(Durability::kAsync, "K")));
  const auto early_batch = ask_batch(m, {one(gossip("x"), keyed(Durability::kAsync, "K"))});
  ASSERT_FALSE(*first);
  ASSERT_TRUE(*early && *early_batch);
  EXPECT_FALSE((**early)->persisted);
  EXPECT_FALSE((**early_batch)->at(0).persisted);
  ASSERT_TRUE(m.run_until([&] { return first->has_value(); }));
  EXPECT_TRUE((**ask(m, one(gossip("x"), keyed(Durability::kAsync, "K"))))->persisted);
  EXPECT_TRUE((**ask_batch(m, {one(gossip("x"), keyed(Durability::kAsync, "K"))}))->at(0).persisted);
}

std::size_t count(const QueueMachine& m, std::string_view topic) {
  std::size_t found = 0;
  m.engine->each([&](const Found& one_found) {
    const auto message = decode(one_found.message->body.view()).value();
    found += std::get<Gossip>(message).topic == topic ? 1 : 0;
  });
  return found;
}

/// A batch that was cut is dropped for good, also when the first thing that a start writes behind it is a message that
/// the compactor carries: a disk that answers inside the call lets the compactor run before the start is over.
TEST(WhatMustHold2, ABatchThatWasCutStaysDropped) {
  int cut = 0;
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    auto options = small_options();
    options.max_batch_bytes = 128U << 10;
    SimDisk::Options disk;
    disk.inline_share = 0.9;
    disk.stall_one_in = 0;
    QueueMachine m(seed, options, disk);
    ASSERT_TRUE(m.start());
    m.run_for(seconds(1));
    ASSERT_TRUE(m.submit(gossip("keep"), sync_by("a")));
    std::vector<MessageId> filling;
    filling.reserve(18);
    for (int i = 0; i < 18; ++i) filling.push_back(m.submit(gossip("fill", std::string(7'000, 'f')), sync_by("a"))->id);
    m.run_for(seconds(1));
    for (const auto id : filling) m.engine->remove(id, [](Result<bool>) {});
    std::vector<Submission> batch;
    batch.reserve(8);
    for (int i = 0; i < 8; ++i) batch.push_back(one(gossip("group", std::string(7'000, 'x')), sync_by("a")));
    const auto writes = m.disk.count(DiskOp::kDurableWrite);
    const auto batched = ask_batch(m, std::move(batch));
    m.run_until([&] { return *batched || m.disk.count(DiskOp::kDurableWrite) >= writes + 2; }, 100'000);
    if (*batched) continue;
    m.power_cut(seed);
    ASSERT_TRUE(m.start());
    const auto kept = count(m, "group");
    EXPECT_TRUE(kept == 0 || kept == 8) << "seed " << seed << ": " << kept << " of a batch of 8";
    cut += kept == 0 ? 1 : 0;
    m.run_for(seconds(2));
    m.power_cut(seed + 1'000);
    ASSERT_TRUE(m.start());
    EXPECT_EQ(count(m, "group"), kept) << "seed " << seed;
    EXPECT_EQ(count(m, "keep"), 1U) << "seed " << seed;
  }
  EXPECT_GT(cut, 50);
}

/// An import goes on with the ids of what it puts, so its start reserves none: the first message of it must not be
/// taken for the one that the batch lacks.
TEST(WhatMustHold2, ABatchThatWasCutStaysDroppedBehindAnImport) {
  int cut = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    for (std::uint64_t steps = 1;; ++steps) {
      auto options = small_options();
      options.max_batch_bytes = 128U << 10;
      options.batches_in_flight = 4;
      SimDisk::Options disk;
      disk.stall_one_in = 0;
      QueueMachine m(seed, options, disk);
      ASSERT_TRUE(m.start());
      std::vector<Submission> batch;
      const auto members = 10 + seed;
      for (std::uint64_t i = 0; i < members; ++i)
        batch.push_back(one(gossip("group", std::string(3'000, 'x')), sync_by("a")));
      const auto batched = ask_batch(m, std::move(batch));
      for (auto left = steps; left > 0 && !*batched; --left) m.step();
      if (*batched) break;
      m.process_kill(seed * 100 + steps);
      m.options.ids_by_puts = true;
      ASSERT_TRUE(m.start());
      if (count(m, "group") == members) continue;
      ++cut;
      ASSERT_TRUE(m.submit(gossip("import"), sync_by("a")));
      ASSERT_TRUE(m.stop());
      m.options.ids_by_puts = false;
      ASSERT_TRUE(m.start());
      ASSERT_EQ(count(m, "group"), 0U) << "seed " << seed << ", " << steps << " steps, of " << members;
      ASSERT_EQ(count(m, "import"), 1U) << "seed " << seed << ", " << steps << " steps";
    }
  }
  EXPECT_GT(cut, 50);
}

/// A death for which the log had no room is written by the compactor later; the retry then undoes what the log says.
TEST(DeadLetters, ARetryLastsAlsoOfADeathThatTheCompactorWrote) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    QueueMachine m(seed);
    ASSERT_TRUE(m.start());
    auto how = sync_by("a");
    how.expires_at = m.world.wall() + seconds(30);
    const auto id = m.submit(gossip("mortal"), how)->id;
    const auto fill = [&] { return m.submit(gossip("f", std::string(3'000, 'f')), sync_by("a")).has_value(); };
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(fill());
    m.disk.set_capacity(m.disk.used_bytes());
    while (fill()) {
    }
    for (auto leased = m.lease(1, seconds(20)); leased && !leased->empty(); leased = m.lease(1, seconds(20))) {
    }
    m.run_for(seconds(40));
    ASSERT_EQ(m.engine->find(id).state, MessageState::kDead);
    m.disk.set_capacity(UINT64_MAX);
    m.run_for(seconds(5));
    ASSERT_TRUE(m.answer<void>([&](auto done) { m.engine->compact_wal(std::move(done)); }));
    ASSERT_TRUE(m.answer<std::uint64_t>([&](auto done) { m.engine->retry_dead(id, std::move(done)); }));
    m.run_for(seconds(1));
    m.power_cut(seed);
    ASSERT_TRUE(m.start());
    EXPECT_EQ(m.engine->find(id).state, MessageState::kReady) << "seed " << seed;
  }
}

}  // namespace
}  // namespace qh::queue
