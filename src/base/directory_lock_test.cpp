#include "base/directory_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>

namespace qh {
namespace {

namespace fs = std::filesystem;

constexpr WallTime kSince = WallTime::from_ms(1'763'717'400'000);  // 2025-11-21T09:30:00Z

class DirectoryLockTest : public testing::Test {
 protected:
  DirectoryLockTest() {
    std::string name = (fs::temp_directory_path() / "qh-lock-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
  }
  ~DirectoryLockTest() override { fs::remove_all(directory_); }

  Result<DirectoryLock> acquire() { return DirectoryLock::acquire(directory_, "test-node", kSince); }

  /// Exit status of `body` in a child of ours.
  template <class Body>
  static int in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  fs::path directory_;
};

TEST_F(DirectoryLockTest, ASecondOwnerInThisProcessIsToldWhoHoldsIt) {
  std::optional first = acquire().value();
  const auto second = acquire();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kBusy);
  EXPECT_EQ(second.error().subject, "pid " + std::to_string(::getpid()) + " (test-node) since 2025-11-21T09:30:00Z");
  EXPECT_EQ(second.error().context, directory_.string() + " is in use by " + second.error().subject);
  first.reset();
  EXPECT_TRUE(acquire());
}

TEST_F(DirectoryLockTest, ASecondProcessIsRefused) {
  const auto held = acquire();
  ASSERT_TRUE(held);
  const std::string holder = "pid " + std::to_string(::getpid());
  EXPECT_EQ(in_child([&] {
              const auto mine = acquire();
              return !mine && mine.error().code == Errc::kBusy && mine.error().subject.starts_with(holder) ? 7 : 1;
            }),
            7);
}

TEST_F(DirectoryLockTest, TheLockOfAKilledProcessIsFree) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto mine = acquire();
    (void)!::write(ready[1], mine ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto while_alive = acquire();
  ASSERT_FALSE(while_alive);
  EXPECT_TRUE(while_alive.error().subject.starts_with("pid " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(acquire());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(DirectoryLockTest, AForkedChildThatEndsDoesNotReleaseIt) {
  std::optional held = acquire().value();
  in_child([&] {
    held.reset();
    return 0;
  });
  EXPECT_FALSE(acquire());
}

TEST_F(DirectoryLockTest, RemovingItsFileUnlocksNothing) {
  std::optional held = acquire().value();
  fs::remove(directory_ / DirectoryLock::kFileName);
  const auto second = acquire();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kBusy);
  EXPECT_EQ(second.error().subject, "an unknown process (LOCK was removed while it runs)");
  held.reset();
  EXPECT_TRUE(acquire());
}

TEST_F(DirectoryLockTest, AnotherFileInItsPlaceUnlocksNothing) {
  const auto held = acquire();
  fs::remove(directory_ / DirectoryLock::kFileName);
  std::ofstream(directory_ / DirectoryLock::kFileName) << "pid 1 (somebody) since ever\n";
  EXPECT_FALSE(acquire());
}

TEST_F(DirectoryLockTest, MovingKeepsIt) {
  auto first = acquire();
  const DirectoryLock second = std::move(*first);
  EXPECT_FALSE(acquire());
}

TEST_F(DirectoryLockTest, AMissingDirectoryIsNotFound) {
  const auto lock = DirectoryLock::acquire(directory_ / "no", "test-node", kSince);
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, Errc::kNotFound);
}

TEST_F(DirectoryLockTest, WordsOfAnEarlierHolderDoNotMislead) {
  std::ofstream(directory_ / "LOCK") << "pid 1 (something far longer than what comes after it) since ever\n";
  const auto held = acquire();
  ASSERT_TRUE(held);
  EXPECT_TRUE(acquire().error().subject.starts_with("pid " + std::to_string(::getpid())));
}

}  // namespace
}  // namespace qh
