#include "base/task.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace qh {
namespace {

struct Waiting {
  UniqueFunction<void(int)> done;
};

Task<int> inner(Waiting& at) {
  const int value = co_await until<int>([&](UniqueFunction<void(int)> done) { at.done = std::move(done); });
  if (value < 0) throw std::runtime_error("below zero");
  co_return value;
}

Task<void> outer(Waiting& at, int& got, bool catches) {
  if (!catches) {
    got = co_await inner(at);
    co_return;
  }
  try {
    got = co_await inner(at);
  } catch (const std::runtime_error&) {
    got = -100;
  }
}

TEST(Task, AnExceptionGoesToWhoAwaitsIt) {
  Waiting at;
  int got = 0;
  auto task = outer(at, got, true);
  task.start();
  at.done(-1);
  EXPECT_FALSE(task.running());
  EXPECT_EQ(got, -100);
}

TEST(Task, FromOneThatNobodyAwaitsItLeavesWhateverResumedIt) {
  Waiting at;
  int got = 0;
  auto task = outer(at, got, false);
  task.start();
  EXPECT_THROW(at.done(-1), std::runtime_error);
  EXPECT_FALSE(task.running());
  EXPECT_EQ(got, 0);
}

TEST(Task, WithoutOneItEndsWithItsValue) {
  Waiting at;
  int got = 0;
  auto task = outer(at, got, false);
  task.start();
  EXPECT_TRUE(task.running());
  at.done(7);
  EXPECT_FALSE(task.running());
  EXPECT_EQ(got, 7);
}

}  // namespace
}  // namespace qh
