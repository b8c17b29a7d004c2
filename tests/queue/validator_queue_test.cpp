// The queue with a thread of its own, and the types that stand for its promises.
#include <filesystem>
#include <optional>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "queue/await.h"
#include "queue/type_state.h"

namespace qh::queue {
namespace {

class ValidatorQueueThreads : public ::testing::Test {
 protected:
  ValidatorQueueThreads() {
    static int number = 0;
    directory_ = std::filesystem::temp_directory_path() /
                 ("qh-vq-" + std::to_string(::getpid()) + "-" + std::to_string(++number));
  }
  ~ValidatorQueueThreads() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<ValidatorQueue> open() {
    Options options;
    options.name = "alice";
    auto queue = ValidatorQueue::open(directory_, options);
    EXPECT_TRUE(queue) << queue.error().to_string();
    return std::move(*queue);
  }
  std::filesystem::path directory_;
};

TEST_F(ValidatorQueueThreads, ManyThreadsShareTheQueueAndEachMessageGoesToOne) {
  auto queue = open();
  std::vector<std::thread> threads;
  std::atomic<int> taken = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(queue->submit_sync(Gossip{std::to_string(t * 100 + i), {}}));
    });
    threads.emplace_back([&] {
      while (taken < 200) {
        auto got = queue->take(KindMask::all(), std::chrono::milliseconds(20));
        ASSERT_TRUE(got) << got.error().to_string();
        if (*got) ++taken;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken, 200);
  EXPECT_EQ(queue->depth()->total(), 0U);
}

TEST_F(ValidatorQueueThreads, AStopKeepsWhatIsInMemoryAndASecondProcessIsTurnedAway) {
  {
    auto queue = open();
    ASSERT_TRUE(queue->submit_async(Gossip{"kept", {}}));
    const auto second = ValidatorQueue::open(directory_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::kBusy);
    EXPECT_NE(second.error().to_string().find(std::to_string(::getpid())), std::string::npos)
        << second.error().to_string();
    ASSERT_TRUE(queue->stop());
    EXPECT_EQ(queue->submit_sync(Gossip{"late", {}}).error().code, Errc::kShuttingDown);
  }
  auto queue = open();
  EXPECT_EQ(queue->depth()->total(), 1U);
}

TEST_F(ValidatorQueueThreads, AnIdempotentRepeatAnswersWithTheFirstId) {
  auto queue = open();
  SubmitOptions keyed;
  keyed.idempotency_key = "k";
  const auto first = QppSyncSubmit::execute(*queue, Gossip{"x", {}}, keyed);
  const auto second = QppSyncSubmit::execute(*queue, Gossip{"x", {}}, keyed);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first.id(), second.id());
  EXPECT_EQ(queue->depth()->total(), 1U);
}

TEST_F(ValidatorQueueThreads, ASyncRepeatOfAnAsyncSubmitMakesItDurable) {
  {
    auto queue = open();
    SubmitOptions keyed;
    keyed.idempotency_key = "k";
    ASSERT_TRUE(QppAsyncSubmit::execute(*queue, Gossip{"x", {}}, keyed));
    ASSERT_TRUE(QppSyncSubmit::execute(*queue, Gossip{"x", {}}, keyed));
    EXPECT_TRUE((*queue->take())->operator->()->persisted);
  }
}

TEST_F(ValidatorQueueThreads, TypeStatesWalkFromQueuedToConsumed) {
  auto queue = open();
  auto persisted = TypeStateMessage<Queued>(Vote{"alice", {}, {}, {}}, "alice").persist(*queue);
  ASSERT_TRUE(persisted) << persisted.error().to_string();
  EXPECT_FALSE(queue->take()->has_value()) << "what is persisted belongs to its object";
  EXPECT_EQ(queue->depth()->total(), 1U);
  auto consumed = std::move(*persisted).consume();
  ASSERT_TRUE(consumed);
  const auto message = std::move(*consumed).into_inner();
  EXPECT_TRUE(message.persisted);
  EXPECT_EQ(std::get<Vote>(message.message()).validator, "alice");
  EXPECT_EQ(queue->depth()->total(), 0U);
}

TEST_F(ValidatorQueueThreads, APersistedMessageThatIsLetGoIsBack) {
  auto queue = open();
  {
    auto persisted = TypeStateMessage<Queued>(Vote{"alice", {}, {}, {}}).persist(*queue);
    ASSERT_TRUE(persisted);
  }
  EXPECT_TRUE(queue->take()->has_value());
}

TEST_F(ValidatorQueueThreads, CoroutinesRunOnTheOwnersThread) {
  auto queue = open();
  std::atomic<int> done = 0;
  Task<void> task;
  queue->post([&](Engine& engine) {
    const auto work = [](Engine& e, std::atomic<int>& ended) -> Task<void> {
      for (int i = 0; i < 10; ++i) {
        Submission submission{encode(Gossip{"co", {}}).value(), {}};
        submission.options.durability = Durability::kSync;
        const auto sent = co_await co::submit(e, std::move(submission));
        EXPECT_TRUE(sent);
        const auto taken = co_await co::take(e, {KindMask::all(), MonoTime{}});
        EXPECT_TRUE(taken && *taken);
      }
      ended = 1;
      ended.notify_one();
    };
    task = work(engine, done);
    task.start();
  });
  done.wait(0);
  EXPECT_EQ(queue->metrics()->counters.taken, 10U);
}

using TakenDeathTest = ::testing::Test;
TEST(TakenDeathTest, ASecondConsumeEndsTheProcessWithAClearMessage) {
  std::optional<Taken> taken{QueuedMessage{}};  // in an optional, Clang does not see that it is the second time
  static_cast<void>(std::move(*taken).consume());
  EXPECT_DEATH(static_cast<void>(std::move(*taken).consume()), "consumed twice");
}

}  // namespace
}  // namespace qh::queue
