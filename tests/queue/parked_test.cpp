// Takes that wait, for room in the log or for a message: what may happen to one of them while another one is answered.
#include <map>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

/// More than the segments that are ready have room for, while no time passes in which others could be made. Behind them
/// come messages that are only in memory and go first: who is handed one of those is answered at once, in the middle of
/// those that still wait.
class WaitingTakes {
 public:
  WaitingTakes() : m_(1, limit_options(), {.inline_share = 0, .stall_one_in = 0}) {
    EXPECT_TRUE(m_.start());
    const Submission one{encode(Message(gossip("s"))).value(), sync_by("a")};
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(m_.answer<std::vector<Submitted>>(
          [&](auto done) { m_.engine->submit_batch(std::vector<Submission>(200, one), std::move(done)); }));
    }
    while (waits_.size() < 3 && asked_ < 20'000) ask();
    EXPECT_EQ(waits_.size(), 3U);
    auto how = sync_by("a");
    how.durability = Durability::kAsync;
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(submit_at_once(Vote{"v", {}, {}, {}}, how));
  }

  /// `then` is called in the answer to the first of those that wait.
  void run(UniqueFunction<void()> then) {
    then_ = std::move(then);
    EXPECT_TRUE(m_.run_until([&] { return answers_.size() == asked_; }));
  }
  void cancel_the_second() { m_.engine->cancel(waits_[1].id); }
  void stop() {
    m_.engine->stop([](const Result<void>&) {});
  }
  /// Of the waiting ones; empty: not answered yet.
  std::optional<Result<void>> answer(std::size_t waiting) const {
    const auto found = answers_.find(waits_[waiting].asked);
    return found == answers_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  struct Wait {
    std::size_t asked;
    Engine::WaitId id;
  };

  void ask() {
    const auto mine = asked_++;
    const auto wait = m_.engine->take({KindMask::all(), MonoTime{}}, [this, mine](Result<std::optional<Taken>> taken) {
      answers_.emplace(mine, taken ? Result<void>() : Result<void>(fail(taken.error())));
      if (then_ && !waits_.empty() && waits_[0].asked == mine) std::exchange(then_, nullptr)();
    });
    if (wait != 0) waits_.push_back({mine, wait});
  }
  bool submit_at_once(const Message& message, const SubmitOptions& how) {
    bool done = false;
    m_.engine->submit({encode(message).value(), how}, [&](const Result<Submitted>& got) { done = got.has_value(); });
    return done;
  }

  QueueMachine m_;
  std::size_t asked_ = 0;
  std::vector<Wait> waits_;
  std::map<std::size_t, Result<void>> answers_;
  UniqueFunction<void()> then_;
};

TEST(WhatWaitsForRoom, IsCancelledInTheAnswerToAnother) {
  WaitingTakes takes;
  bool seen = false;
  takes.run([&] {
    ASSERT_FALSE(takes.answer(1)) << "it would prove nothing";
    takes.cancel_the_second();
    const auto answer = takes.answer(1);
    ASSERT_TRUE(answer && !*answer);
    EXPECT_EQ(answer->error().code, Errc::kTimeout);
    seen = true;
  });
  EXPECT_TRUE(seen);
}

TEST(WhatWaitsForRoom, EndsWithAStopInTheAnswerToAnother) {
  WaitingTakes takes;
  bool seen = false;
  takes.run([&] {
    ASSERT_FALSE(takes.answer(1)) << "it would prove nothing";
    takes.stop();
    for (const std::size_t waiting : {1U, 2U}) {
      const auto answer = takes.answer(waiting);
      ASSERT_TRUE(answer && !*answer);
      EXPECT_EQ(answer->error().code, Errc::kShuttingDown);
    }
    seen = true;
  });
  EXPECT_TRUE(seen);
}

/// Who waits longest is served in the call of another one, and may stop the queue in the answer: that call ends, too.
TEST(WhatWaitsForAMessage, EndsWhereTheOneBeforeItStopsTheQueue) {
  for (const int how : {0, 1, 2}) {
    QueueMachine m(1, limit_options(), at_once());
    ASSERT_TRUE(m.start());
    bool stopped = false;
    std::optional<Errc> second;
    const Engine::HandOut wait{KindMask::all(), m.world.mono() + std::chrono::seconds(10)};
    m.engine->take(wait, [&](const Result<std::optional<Taken>>&) {
      m.engine->stop([&](const Result<void>&) { stopped = true; });
    });
    const auto end = [&](const auto& answer) { second = answer ? Errc::kExists : answer.error().code; };
    auto in_memory = sync_by("a");
    in_memory.durability = Durability::kAsync;
    m.engine->submit({encode(Message(gossip("s"))).value(), in_memory}, [&](const Result<Submitted>&) {
      if (how == 0) m.engine->take(wait, end);
      if (how == 1) m.engine->take_batch(wait, 2, end);
      if (how == 2) m.engine->lease(wait, 2, std::chrono::seconds(1), end);
    });
    ASSERT_TRUE(m.run_until([&] { return stopped; }));
    EXPECT_EQ(second, Errc::kShuttingDown) << how;
  }
}

}  // namespace
}  // namespace qh::queue
