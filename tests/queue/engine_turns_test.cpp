// Whose turn it is, how long a call waits, and what it may say when: corners that a second review found.
#include <malloc.h>

#include <fmt/format.h>

#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue_machine.h"

#ifndef __has_feature  // GCC 12 and 13
#define __has_feature(x) 0
#endif

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

SubmitOptions async_by(std::string who) {
  auto how = sync_by(std::move(who));
  how.durability = Durability::kAsync;
  return how;
}

std::vector<Submission> many(std::size_t count, const SubmitOptions& how) {
  return std::vector<Submission>(count, Submission{encode(Message(gossip("g"))).value(), how});
}

Options large_batches() {
  auto options = small_options();
  options.max_batch_messages = 3000;
  return options;
}

/// However many ids of the block at hand are used, the largest call finds enough.
TEST(Engine, NoCallIsTooLargeForTheIdsThatAreLeft) {
  for (int used = 0; used < 1100; used += 25) {
    QueueMachine m(1, large_batches());
    ASSERT_TRUE(m.start());
    for (int i = 0; i < used; ++i) {
      ASSERT_TRUE(m.submit(gossip("a"), async_by("a")));
      ASSERT_EQ(m.lease().value().size(), 1U);
    }
    const auto batch = m.answer<std::vector<Submitted>>(
        [&](auto done) { m.engine->submit_batch(many(2500, async_by("a")), std::move(done)); });
    ASSERT_TRUE(batch) << "behind " << used << ": " << batch.error().to_string();
    const auto leases = m.lease(1000);
    ASSERT_TRUE(leases) << "behind " << used << ": " << leases.error().to_string();
    EXPECT_EQ(leases->size(), 1000U);
  }
}

/// An owner that has more to look at may ask in between: only a large write is begun, and only one.
TEST(Engine, ALargeWriteBeginsBeforeTheTurnEnds) {
  auto options = small_options();
  options.segment_bytes_min = options.segment_bytes_max = 1U << 20;
  QueueMachine m(3, options);
  ASSERT_TRUE(m.start());
  std::size_t answered = 0;
  const auto submit = [&](std::size_t bytes) {
    const auto body = encode(Message(gossip("g", std::string(bytes, 'x')))).value();
    m.engine->submit({body, sync_by("a")}, [&](Result<Submitted> done) { answered += done.has_value(); });
  };
  const auto writes = m.disk.count(DiskOp::kDurableWrite);
  submit(1'000);
  m.engine->pump_large();
  EXPECT_EQ(m.disk.count(DiskOp::kDurableWrite), writes) << "a small write did not wait for what else is to come";
  for (std::size_t sum = 0; sum < Engine::kPumpLargeBytes; sum += 4'000) submit(4'000);
  m.engine->pump_large();
  EXPECT_EQ(m.disk.count(DiskOp::kDurableWrite), writes + 1);
  for (std::size_t sum = 0; sum < Engine::kPumpLargeBytes; sum += 4'000) submit(4'000);
  m.engine->pump_large();
  EXPECT_EQ(m.disk.count(DiskOp::kDurableWrite), writes + 1) << "a second one is under way";
  ASSERT_TRUE(m.run_until([&] { return answered == 2 * (Engine::kPumpLargeBytes / 4'000 + 1) + 1; }, 10'000));
}

/// So that the next one's can be made ready meanwhile (base/heap_prefault.h), also while a log is read.
TEST(Engine, TellsWhatMemoryEachMessageWasGiven) {
  QueueMachine m(4);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(m.submit(gossip("g", std::string(100, 'x')), sync_by("a")));
  EXPECT_EQ(m.allocations, 3U);
  EXPECT_GT(m.allocated_bytes, 300U);
  m.process_kill(4);
  ASSERT_TRUE(m.start());
  EXPECT_EQ(m.allocations, 6U);
}

/// A caller that asks in its answer to a submit does not get what somebody else waits for.
void last_comer_waits(Durability durability) {
  QueueMachine m(2);
  ASSERT_TRUE(m.start());
  std::string order;
  m.engine->take({KindMask::all(), m.world.mono() + seconds(5)},
                 [&](Result<std::optional<Taken>> taken) { order += taken && *taken ? "first " : "nothing "; });
  bool answered = false;
  auto how = sync_by("b");
  how.durability = durability;
  m.engine->submit({encode(Message(gossip("g"))).value(), how}, [&](Result<Submitted>) {
    m.engine->take({KindMask::all(), MonoTime{}}, [&](Result<std::optional<Taken>> taken) {
      order += taken && *taken ? "last " : "none ";
      answered = true;
    });
  });
  ASSERT_TRUE(m.run_until([&] { return answered && order.find("first") != order.npos; }));
  EXPECT_EQ(m.engine->depth().total(), 0U);
  EXPECT_EQ(order.find("last"), order.npos) << order;
}

TEST(Engine, WhoWaitsLongestIsServedFirstAlsoWhenAnswersAskAgain) {
  last_comer_waits(Durability::kSync);
  last_comer_waits(Durability::kAsync);
}

TEST(Engine, AWaiterThatAsksAgainInItsAnswerQueuesUpBehindTheOthers) {
  QueueMachine m(3);
  ASSERT_TRUE(m.start());
  std::string order;
  const auto until = m.world.mono() + seconds(5);
  m.engine->take({KindMask::all(), until}, [&](Result<std::optional<Taken>> taken) {
    order += taken && *taken ? "a" : "-";
    m.engine->take({KindMask::all(), MonoTime{}},
                   [&](Result<std::optional<Taken>> again) { order += again && *again ? "A" : "-"; });
  });
  m.engine->take({KindMask::all(), until},
                 [&](Result<std::optional<Taken>> taken) { order += taken && *taken ? "b" : "-"; });
  m.engine->submit_batch(many(2, async_by("x")), [](Result<std::vector<Submitted>>) {});
  ASSERT_TRUE(m.run_until([&] { return order.size() == 3; }));
  EXPECT_EQ(order, "ab-");
}

TEST(Engine, APauseIsAnsweredWhenItIsDurableAlsoTheSecondTime) {
  for (std::uint64_t events = 0; events < 30; ++events) {
    SimDisk::Options disk;
    disk.inline_share = 0;
    QueueMachine m(4, small_options(), disk);
    ASSERT_TRUE(m.start());
    int answered = 0;
    for (int i = 0; i < 2; ++i)
      m.engine->pause(KindMask::of(Kind::kGossip), [&](Result<KindMask> paused) { answered += paused ? 1 : 0; });
    for (std::uint64_t i = 0; i < events; ++i) m.step();
    m.power_cut(events);
    ASSERT_TRUE(m.start());
    if (answered > 0) {
      EXPECT_TRUE(m.engine->paused().has(Kind::kGossip)) << "cut after " << events << " events";
    }
  }
}

TEST(Engine, ALeaseThatWaitsForIdsCanBeCancelled) {
  SimDisk::Options disk;
  disk.inline_share = 0;
  QueueMachine m(5, large_batches(), disk);
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(m.submit(gossip("a"), async_by("a")));
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(m.lease());
  std::optional<Errc> code;
  const auto wait = m.engine->lease({KindMask::all(), m.world.mono() + seconds(5)}, 1000, seconds(30),
                                    [&](Result<std::vector<Leased>> leased) {
                                      ASSERT_FALSE(leased);
                                      code = leased.error().code;
                                    });
  ASSERT_NE(wait, 0U);
  ASSERT_FALSE(code) << "it waits";
  m.engine->cancel(wait);
  EXPECT_EQ(code, Errc::kTimeout);
  m.run_for(seconds(1));
  EXPECT_EQ(m.engine->depth().by_kind[static_cast<std::size_t>(Kind::kGossip)].leased, 30U);
}

/// Both marks say what was acknowledged, however slow the disk is with the mark file.
TEST(WhatMustHold3, AtRestTheMarkFileSaysWhatTheLogSays) {
  for (const bool stopped : {false, true}) {
    QueueMachine m(6);
    m.disk.slow_writes("mark", milliseconds(300));
    ASSERT_TRUE(m.start());
    m.run_for(seconds(5));
    ASSERT_TRUE(m.submit(gossip("A"), sync_by("a")));
    m.run_for(milliseconds(100));
    const auto name = wal::segment_name(1);
    const auto before = *m.disk.contents(name);
    ASSERT_TRUE(m.submit(gossip("B"), sync_by("a")));
    if (stopped) {
      ASSERT_TRUE(m.stop());
    } else {
      m.run_for(seconds(60));
      m.power_cut(1);
    }
    m.disk.set_contents(name, before);  // cut at the boundary of a record, one message short
    const auto started = m.start();
    EXPECT_FALSE(started) << "a message is missing, and nobody says so";
  }
}

// Sanitizers put an allocator of their own in the place of the one that is asked here.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
/// "What must hold" 7, the memory of it; bench/queue measures the time.
// The id set and the key set double when they are full, so a message takes most just after that: at 107,521 of them.
double bytes_a_message(std::size_t messages, std::size_t key_bytes) {
  constexpr std::size_t kBody = 256;
  auto options = small_options();
  options.max_depth = 2 * messages;
  options.idempotency_keys_max = static_cast<std::uint32_t>(2 * messages);
  QueueMachine m(7, options);
  EXPECT_TRUE(m.start());
  const auto body = encode(Message(gossip("memory", std::string(kBody, 'm')))).value();
  const auto allocated = [] {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const auto before = allocated();
  for (std::size_t i = 0; i < messages; ++i) {
    auto how = async_by("a");
    if (key_bytes > 0) how.idempotency_key = fmt::format("{:0{}}", i, key_bytes);
    const auto done = m.answer<Submitted>([&](auto answer) {
      m.engine->submit({body, std::move(how)}, std::move(answer));
    });
    EXPECT_TRUE(done && !done->duplicate);
  }
  EXPECT_EQ(m.engine->metrics().idempotency_keys, key_bytes > 0 ? messages : 0);
  return static_cast<double>(allocated() - before) / static_cast<double>(messages) -
         static_cast<double>(body.size() + key_bytes);
}

TEST(WhatMustHold7, AMessageTakesItsBodyAndKeyAndAtMost200Bytes) {
  for (const std::size_t messages : {100'000U, 107'521U}) {
    for (const std::size_t key_bytes : {0U, 16U, 24U, 36U, 128U}) {
      const auto beside = bytes_a_message(messages, key_bytes);
      RecordProperty(fmt::format("beside_{}_{}", messages, key_bytes), fmt::format("{:.0f}", beside));
      EXPECT_LE(beside, 200) << messages << " messages, keys of " << key_bytes;
      EXPECT_GE(beside, 100) << "the measurement is no good";
    }
  }
}
#endif

}  // namespace
}  // namespace qh::queue
