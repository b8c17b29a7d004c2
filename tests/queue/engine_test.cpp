// What the contract of the engine says, one sentence a test.
#include <gtest/gtest.h>

#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string topic_of(const QueuedMessage& m) { return std::get<Gossip>(m.message()).topic; }

TEST(Engine, AMessageComesOutOnceAsItWentIn) {
  QueueMachine m(1);
  const auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_TRUE(report->created);
  const Message sent = Gossip{"test", to_bytes("\1\2\3")};
  const auto submitted = m.submit(sent, sync_by("alice"));
  ASSERT_TRUE(submitted) << submitted.error().to_string();
  EXPECT_EQ(submitted->id, MessageId(1));
  EXPECT_TRUE(submitted->persisted);
  EXPECT_EQ(m.engine->depth().total(), 1U);
  auto taken = m.take();
  ASSERT_TRUE(taken && *taken);
  const auto message = std::move(**taken).consume();
  EXPECT_EQ(message.message(), sent);
  EXPECT_EQ(message.submitted_by, "alice");
  EXPECT_TRUE(message.persisted);
  EXPECT_EQ(m.engine->depth().total(), 0U);
  EXPECT_FALSE(m.take().value().has_value());
}

TEST(Engine, HigherPriorityFirstThenById) {
  const std::vector<Message> sent = {Telemetry{"t", {}},        Gossip{"g", {}}, Transaction{},   Vote{"v", {}, {}, {}},
                                     EntropyShare{"e", {}, {}}, BlockImport{},   Gossip{"g2", {}}};
  std::vector<std::uint64_t> order;
  QueueMachine n(3);
  ASSERT_TRUE(n.start());
  for (const auto& message : sent) ASSERT_TRUE(n.submit(message, sync_by("a")));
  for (auto taken = n.take(); taken && *taken; taken = n.take())
    order.push_back(std::move(**taken).consume().id.value());
  EXPECT_EQ(order, (std::vector<std::uint64_t>{4, 6, 3, 5, 2, 7, 1}));
}

TEST(Engine, DurableMessagesSurviveAPowerCutAndAreTakenOnce) {
  QueueMachine m(4);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(m.submit(gossip(std::to_string(i)), sync_by("a")));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(m.take());
  m.power_cut(99);
  const auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->messages, 7U);
  std::vector<std::string> left;
  for (auto taken = m.take(); taken && *taken; taken = m.take()) left.push_back(topic_of(std::move(**taken).consume()));
  EXPECT_EQ(left, (std::vector<std::string>{"3", "4", "5", "6", "7", "8", "9"}));
}

TEST(Engine, AsyncMessagesAreLostInACrashAndKeptByAStop) {
  QueueMachine m(5);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("kept")));
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 1U);
  const auto second = m.submit(gossip("lost"));
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 1U);
  const auto third = m.submit(gossip("new"));
  EXPECT_GT(third->id, second->id) << "an id is never given again";
}

TEST(Engine, AStopAndAStartChangeNothing) {
  QueueMachine m(6);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(m.submit(gossip(std::to_string(i)), sync_by("a")));
  auto leases = m.lease(3);
  ASSERT_EQ(leases->size(), 3U);
  ASSERT_TRUE(m.ack(leases->at(0).lease));
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start());
  const auto counters = m.engine->metrics().counters;
  const auto before = m.engine->peek(100);
  ASSERT_EQ(before.size(), 19U);
  EXPECT_EQ(before.at(0).deliveries, 0U) << "a stop gives leases back uncounted";
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(m.stop());
    ASSERT_TRUE(m.start());
    EXPECT_EQ(m.engine->metrics().counters, counters);
    const auto after = m.engine->peek(100);
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i].id, before[i].id);
  }
  EXPECT_EQ(m.submit(gossip("next"), sync_by("a"))->id, MessageId(21)) << "a stop wastes no ids";
}

TEST(Engine, ABatchIsTakenWithOneWriteInTheOrderOfSingleTakes) {
  QueueMachine m(6, small_options(), at_once());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(m.submit(gossip(std::to_string(i)), sync_by("a")));
  ASSERT_TRUE(m.submit(Vote{"v", {}, {}, {}}, sync_by("a")));
  ASSERT_TRUE(m.submit(gossip("in memory")));
  const auto take = [&](std::uint32_t max) {
    std::vector<std::uint64_t> ids;
    auto taken = m.answer<std::vector<Taken>>([&](auto done) {
      m.engine->take_batch({KindMask::all(), {}}, max, std::move(done));
    });
    if (!taken) return ids;
    for (auto& one : *taken) ids.push_back(std::move(one).consume().id.value());
    return ids;
  };
  const auto writes = m.engine->metrics().wal_batches;
  EXPECT_EQ(take(4), (std::vector<std::uint64_t>{11, 1, 2, 3}));
  EXPECT_EQ(m.engine->metrics().wal_batches, writes + 1);
  m.process_kill(1);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(take(1000), (std::vector<std::uint64_t>{4, 5, 6, 7, 8, 9, 10}));
  EXPECT_TRUE(take(1000).empty());
  for (const std::uint32_t wrong : {0U, 1001U}) {
    const auto refused = m.answer<std::vector<Taken>>([&](auto done) {
      m.engine->take_batch({KindMask::all(), {}}, wrong, std::move(done));
    });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().subject, "max");
  }
}

TEST(Engine, ABatchWaitsInTurnWhileThereIsNothing) {
  QueueMachine m(6);
  ASSERT_TRUE(m.start());
  std::optional<std::size_t> first, second;
  const auto until = m.world.mono() + seconds(30);
  m.engine->take_batch({KindMask::all(), until}, 3, [&](auto taken) { first = taken->size(); });
  m.engine->take_batch({KindMask::all(), until}, 3, [&](auto taken) { second = taken->size(); });
  ASSERT_TRUE(m.submit(gossip("a"), sync_by("a")));
  ASSERT_TRUE(m.run_until([&] { return first.has_value(); }));
  EXPECT_EQ(*first, 1U);
  EXPECT_FALSE(second);
  m.run_for(seconds(31));
  EXPECT_EQ(second, 0U) << "its wait is over";
}

TEST(Engine, ALeaseThatRunsOutPutsTheMessageBackInItsPlace) {
  QueueMachine m(7);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(m.submit(gossip(std::to_string(i)), sync_by("a")));
  auto first = m.lease(1, seconds(5));
  ASSERT_EQ(first->at(0).message.id, MessageId(1));
  EXPECT_EQ(first->at(0).message.deliveries, 1U);
  m.run_for(seconds(6));
  auto again = m.lease(1, seconds(5));
  ASSERT_EQ(again->at(0).message.id, MessageId(1));
  EXPECT_EQ(again->at(0).message.deliveries, 2U);
  EXPECT_EQ(m.ack(first->at(0).lease)->lost.size(), 1U) << "a lease id is never valid again";
  EXPECT_EQ(m.ack(again->at(0).lease)->done, 1U);
  EXPECT_EQ(m.engine->find(MessageId(1)).state, MessageState::kGone);
}

TEST(Engine, TooManyDeliveriesMakeADeadLetterWithTheLastError) {
  QueueMachine m(8);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("poison"), sync_by("a")));
  for (int i = 0; i < 5; ++i) {
    auto leased = m.lease();
    ASSERT_EQ(leased->size(), 1U) << i;
    ASSERT_TRUE(m.nack(leased->at(0).lease, Duration(0), "error " + std::to_string(i)));
  }
  EXPECT_TRUE(m.lease()->empty());
  const auto dead = m.engine->dead_letters({}, 10);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].last_error, "error 4");
  EXPECT_EQ(dead[0].reason, DeadReason::kMaxDeliveries);
  m.power_cut(3);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->dead_letters({}, 10).size(), 1U);
  ASSERT_TRUE(m.answer<std::uint64_t>([&](auto done) { m.engine->retry_dead(MessageId(1), std::move(done)); }));
  EXPECT_EQ(m.lease()->size(), 1U);
}

// "What must hold", 4.
TEST(WhatMustHold4, AMessageThatKillsTheNodeEachTimeEndsInTheDeadLetters) {
  QueueMachine m(9);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("poison"), sync_by("a")));
  for (int i = 0; i < 5; ++i) {
    auto leased = m.lease();
    ASSERT_TRUE(leased);
    ASSERT_EQ(leased->size(), 1U) << "start " << i;
    EXPECT_EQ(leased->at(0).message.deliveries, static_cast<std::uint32_t>(i + 1));
    m.process_kill(static_cast<std::uint64_t>(i));
    ASSERT_TRUE(m.start());
  }
  EXPECT_TRUE(m.lease()->empty());
  EXPECT_EQ(m.engine->dead_letters({}, 10).size(), 1U);
  ASSERT_TRUE(m.submit(gossip("next"), sync_by("a")));
  EXPECT_EQ(m.lease()->size(), 1U);
}

TEST(Engine, ARepeatedKeyStoresNothingAlsoAfterACrashAndTheMessagesEnd) {
  QueueMachine m(10);
  ASSERT_TRUE(m.start());
  auto keyed = sync_by("a");
  keyed.idempotency_key = "order-1";
  const auto first = m.submit(gossip("x"), keyed);
  ASSERT_TRUE(first);
  const auto second = m.submit(gossip("x"), keyed);
  EXPECT_TRUE(second->duplicate);
  EXPECT_EQ(second->id, first->id);
  EXPECT_EQ(m.engine->depth().total(), 1U);
  ASSERT_TRUE(m.take());
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_TRUE(m.submit(gossip("x"), keyed)->duplicate);
  EXPECT_EQ(m.engine->depth().total(), 0U);
  m.run_for(seconds(61));
  EXPECT_FALSE(m.submit(gossip("x"), keyed)->duplicate) << "the window is over, and repeats did not renew it";
}

TEST(Engine, AKeyRepeatedInsideOneBatchIsOneDurableMessage) {
  QueueMachine m(12);
  ASSERT_TRUE(m.start());
  auto keyed = sync_by("a");
  keyed.idempotency_key = "k";
  std::vector<Submission> batch(2, Submission{encode(Message(gossip("once"))).value(), keyed});
  const auto done = m.answer<std::vector<Submitted>>(
      [&](auto answer) { m.engine->submit_batch(std::move(batch), std::move(answer)); });
  ASSERT_TRUE(done);
  EXPECT_EQ(done->at(0).id, done->at(1).id);
  EXPECT_TRUE(done->at(1).duplicate);
  EXPECT_TRUE(done->at(1).persisted) << "it is as durable as the first, which is the same message";
  EXPECT_EQ(m.engine->depth().total(), 1U);
}

TEST(Engine, ADeadLetterThatHadToGoIsCountedAsSuchAfterAKillToo) {
  auto options = small_options();
  options.max_deliveries = 1;
  options.dead_letters_max = 1;
  QueueMachine m(13, options);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(m.submit(gossip("dies"), sync_by("a")));
    ASSERT_TRUE(m.nack(m.lease()->at(0).lease, Duration(0), "no"));
  }
  const auto before = m.engine->metrics().counters;
  EXPECT_EQ(before.dead_evicted, 2U);
  m.run_for(milliseconds(200));
  m.process_kill(1);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->metrics().counters, before);
  EXPECT_EQ(m.engine->metrics().dead_letters, 1U);
}

TEST(Engine, AFailedWriteIsFinalUntilARestart) {
  QueueMachine m(11);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.submit(gossip("safe"), sync_by("a")));
  m.disk.faults().plan({.ops = only(DiskOp::kDurableWrite), .nth = 1, .os_errno = EIO});
  const auto failed = m.submit(gossip("unsure"), sync_by("a"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kStorageFailed);
  EXPECT_EQ(m.engine->state(), EngineState::kFailed);
  EXPECT_EQ(m.submit(gossip("later"), sync_by("a")).error().code, Errc::kStorageFailed);
  EXPECT_EQ(m.take().error().code, Errc::kStorageFailed);
  EXPECT_EQ(m.engine->metrics().health, 0U);
  m.process_kill(5);
  ASSERT_TRUE(m.start());
  EXPECT_GE(m.engine->depth().total(), 1U);
}

TEST(Engine, WaitersAreServedInTheOrderTheyCame) {
  QueueMachine m(12);
  ASSERT_TRUE(m.start());
  std::vector<int> served;
  for (int i = 0; i < 3; ++i) {
    m.engine->take({KindMask::all(), m.world.mono() + seconds(60)}, [&served, i](Result<std::optional<Taken>> taken) {
      if (taken && *taken) served.push_back(i);
    });
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  ASSERT_TRUE(m.run_until([&] { return served.size() == 3; }));
  EXPECT_EQ(served, (std::vector<int>{0, 1, 2}));
}

TEST(Engine, AWaitEndsAtItsDeadlineWithNothing) {
  QueueMachine m(13);
  ASSERT_TRUE(m.start());
  const auto taken = m.answer<std::optional<Taken>>([&](auto done) {
    m.engine->take({KindMask::all(), m.world.mono() + seconds(2)}, std::move(done));
  });
  ASSERT_TRUE(taken);
  EXPECT_FALSE(*taken);
}

TEST(Engine, DelayedAndExpiringMessagesFollowTheWallClock) {
  QueueMachine m(14);
  ASSERT_TRUE(m.start());
  auto later = sync_by("a");
  later.not_before = m.world.wall() + seconds(10);
  ASSERT_TRUE(m.submit(gossip("later"), later));
  auto short_lived = sync_by("a");
  short_lived.expires_at = m.world.wall() + seconds(5);
  ASSERT_TRUE(m.submit(gossip("short"), short_lived));
  EXPECT_EQ(m.engine->find(MessageId(1)).state, MessageState::kDelayed);
  m.run_for(seconds(6));
  EXPECT_EQ(m.engine->find(MessageId(2)).state, MessageState::kDead);
  EXPECT_EQ(m.engine->dead_letters({}, 1).at(0).reason, DeadReason::kExpired);
  m.power_cut(4);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->find(MessageId(1)).state, MessageState::kDelayed);
  m.world.jump_wall(seconds(100));
  m.run_for(seconds(1));
  EXPECT_EQ(m.engine->find(MessageId(1)).state, MessageState::kReady);
}

TEST(Engine, BatchesAreAllOrNone) {
  QueueMachine m(15);
  ASSERT_TRUE(m.start());
  std::vector<Submission> batch;
  batch.reserve(5);
  for (int i = 0; i < 5; ++i) batch.push_back({encode(gossip(std::to_string(i))).value(), sync_by("a")});
  batch[3].body[0] = std::byte{77};
  auto refused = m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(batch, std::move(done)); });
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().context.find("messages[3]"), std::string::npos);
  EXPECT_EQ(m.engine->depth().total(), 0U);
  batch[3].body[0] = batch[0].body[0];
  auto stored = m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(batch, std::move(done)); });
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->size(), 5U);
  m.power_cut(8);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.engine->depth().total(), 5U);
}

TEST(Engine, PauseIsDurableAndLetsSubmitsThrough) {
  QueueMachine m(16);
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.answer<KindMask>([&](auto done) { m.engine->pause(KindMask::of(Kind::kGossip), std::move(done)); }));
  ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  EXPECT_FALSE(m.take().value().has_value());
  m.power_cut(1);
  ASSERT_TRUE(m.start());
  EXPECT_FALSE(m.take().value().has_value());
  ASSERT_TRUE(m.answer<KindMask>([&](auto done) { m.engine->resume(KindMask::all(), std::move(done)); }));
  EXPECT_TRUE(m.take().value().has_value());
}

TEST(Engine, AFifthIsKeptForCriticalKinds) {
  auto options = small_options();
  options.max_depth = 10;
  QueueMachine m(17, options);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(m.submit(gossip("x"), sync_by("a")));
  const auto full = m.submit(gossip("x"), sync_by("a"));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::kQueueFull);
  EXPECT_GT(full.error().retry_after_ms, 0);
  EXPECT_EQ(full.error().context, "the queue is full: max_depth is 10, of which 2 are kept for Critical kinds");
  EXPECT_TRUE(m.submit(BlockImport{}, sync_by("a")));
  EXPECT_TRUE(m.submit(BlockImport{}, sync_by("a")));
  const auto last = m.submit(BlockImport{}, sync_by("a"));
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().context, "the queue is full: max_depth is 10");
}

TEST(Engine, WhatFitsIntoNoQueueIsTooLargeAndNotToBeTriedAgain) {
  auto options = small_options();
  options.max_depth = 10;
  options.max_bytes = 1'000;
  QueueMachine m(18, options);
  ASSERT_TRUE(m.start());
  const std::vector<Submission> batch(9, {encode(gossip("x")).value(), sync_by("a")});
  const auto many =
      m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(batch, std::move(done)); });
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, Errc::kTooLarge);
  EXPECT_EQ(many.error().size, 9U);
  EXPECT_EQ(many.error().limit, 8U);
  EXPECT_EQ(many.error().retry_after_ms, 0);
  const auto large = m.submit(gossip("x", std::string(900, 'x')), sync_by("a"));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, Errc::kTooLarge);
  EXPECT_EQ(large.error().limit, 800U);
  EXPECT_NE(large.error().context.find("max_bytes is 1000, of which 200 are kept"), std::string::npos);
}

}  // namespace
}  // namespace qh::queue
