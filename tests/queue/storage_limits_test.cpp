// "What must hold" 6: descriptors or space run out, the file system turns read-only, a device fails: exactly
// while a segment is made, recycled, entered or let go. Nothing acknowledged is lost, the error says what it
// is, and there is a way back.
#include <set>

#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Work that rolls, recycles and compacts, and a ledger of it.
class Limits {
 public:
  explicit Limits(std::uint64_t seed) : m(seed, limit_options(), at_once()) {}

  void submit() {
    const auto tag = std::to_string(next_++);
    asked_.insert(tag);
    const auto done = m.submit(gossip(tag, std::string(1500, 'd')), sync_by("a"));
    if (done)
      there_.insert(tag);
    else
      refused(done.error());
  }
  void take() {
    const auto head = m.engine->peek(1);
    auto taken = m.take();
    if (taken && *taken) {
      const auto tag = tag_of(std::move(**taken).consume());
      EXPECT_EQ(there_.erase(tag) + unsure_.erase(tag), 1U) << tag << " was handed out, but had gone";
      gone_.insert(tag);
    } else if (!taken) {
      refused(taken.error());
      // A take that failed with the log may have gone through: then nobody has seen it.
      for (const auto& message : head) {
        if (there_.erase(tag_of(message)) == 1) unsure_.insert(tag_of(message));
      }
    }
  }
  void work(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      submit();
      submit();
      submit();
      take();
      take();
      if (i % 3 == 2) take();
      if (i % 10 == 9) m.answer<void>([&](auto done) { m.engine->compact_wal(std::move(done)); }, 300).has_value();
      m.run_for(milliseconds(5));
    }
  }
  /// What was acknowledged is there, what was taken is not.
  void check(const std::string& when) {
    std::set<std::string> found;
    m.engine->each([&](const Found& f) { EXPECT_TRUE(found.insert(tag_of(*f.message)).second) << when; });
    for (const auto& tag : there_) EXPECT_TRUE(found.contains(tag)) << when << ": " << tag << " is lost";
    for (const auto& tag : gone_) EXPECT_FALSE(found.contains(tag)) << when << ": " << tag << " is back";
    for (const auto& tag : found) EXPECT_TRUE(asked_.contains(tag)) << when << ": " << tag;
    there_ = found;
    unsure_.clear();
  }
  bool works() {
    return m.submit(gossip("works " + std::to_string(next_)), sync_by("a")).has_value() && remember_works();
  }

  QueueMachine m;
  std::vector<Error> errors;

 private:
  static std::string tag_of(const QueuedMessage& message) { return std::get<Gossip>(message.message()).topic; }
  bool remember_works() {
    const auto tag = "works " + std::to_string(next_++);
    asked_.insert(tag);
    there_.insert(tag);
    return true;
  }
  void refused(const Error& error) { errors.push_back(error); }

  std::set<std::string> asked_, there_, unsure_, gone_;
  std::uint64_t next_ = 0;
};

/// The words that an operator reads: which file, and what the system said.
void expect_clear(const Error& error, const std::string& when) {
  EXPECT_TRUE(error.code == Errc::kStorageFull || error.code == Errc::kStorageFailed)
      << when << ": " << error.to_string();
  EXPECT_NE(error.os_errno, 0) << when << ": " << error.to_string();
  EXPECT_FALSE(error.subject.empty()) << when << ": " << error.to_string();
  const auto text = error.to_string();
  const bool directory = text.find("directory") != std::string::npos;
  EXPECT_TRUE(directory || text.find(error.subject) != std::string::npos) << when << ": " << text;
}

struct Case {
  DiskOpSet ops;
  int os_errno;
};

std::string text_of(const Case& c, std::uint64_t k, bool lasting) {
  std::string ops;
  for (std::size_t i = 0; i < kDiskOps; ++i) {
    if ((c.ops & only(static_cast<DiskOp>(i))) != 0) ops += std::string(disk_op_name(static_cast<DiskOp>(i))) + " ";
  }
  return fmt::format("{}errno {} at {}{}", ops, c.os_errno, k, lasting ? " and after" : "");
}

// Each operation that a running queue asks for fails, one after the other.
TEST(WhatMustHold6, EachOperationFailsOnceAndForGood) {
  const std::vector<Case> cases = {
      {only(DiskOp::kOpen), EMFILE},
      {only(DiskOp::kOpen), ENFILE},
      {only(DiskOp::kZeroFill), ENOSPC},
      {only(DiskOp::kZeroFill), EROFS},
      {only(DiskOp::kZeroFill), EIO},
      {only(DiskOp::kRename), ENOSPC},
      {only(DiskOp::kRename), EROFS},
      {only(DiskOp::kRename), EIO},
      {only(DiskOp::kRemove), EROFS},
      {only(DiskOp::kRemove), EIO},
      {only(DiskOp::kTruncate), EIO},
      {only(DiskOp::kSync), EIO},
      {only(DiskOp::kSync), ENOSPC},
      {only(DiskOp::kSyncDirectory), EIO},
      {only(DiskOp::kFreeSpace), EIO},
      {only(DiskOp::kDurableWrite), ENOSPC},
      {only(DiskOp::kDurableWrite), EIO},
      {only(DiskOp::kDurableWrite), EROFS},
      {kChangesDisk, EROFS},
      {only(DiskOp::kOpen) | only(DiskOp::kZeroFill) | only(DiskOp::kRename) | only(DiskOp::kRemove), ENOSPC},
  };
  std::uint64_t runs = 0, refusals = 0, failed = 0;
  for (const auto& one : cases) {
    for (const bool lasting : {false, true}) {
      for (std::uint64_t k = 1;; ++k) {
        const auto when = text_of(one, k, lasting);
        Limits work(k);
        ASSERT_TRUE(work.m.start());
        work.work(2);
        work.m.disk.faults().plan({.ops = one.ops, .nth = k, .os_errno = one.os_errno, .lasting = lasting});
        work.work(24);
        work.m.run_for(seconds(3));
        const bool struck = work.m.disk.faults().struck() > 0;
        for (const auto& error : work.errors) expect_clear(error, when);
        refusals += work.errors.size();
        const bool log_failed = work.m.engine->state() == EngineState::kFailed;
        failed += log_failed;
        if (log_failed) {
          EXPECT_EQ(work.m.engine->metrics().health, 0U) << when;
          EXPECT_FALSE(work.m.engine->metrics().failure.empty()) << when;
        } else {
          work.check(when);
        }
        work.m.disk.faults().clear();
        if (struck && one.ops == only(DiskOp::kSyncDirectory)) {
          EXPECT_TRUE(log_failed) << when << ": nobody knows which names are durable, and no later sync says it";
        }
        if (!log_failed) {
          work.m.run_for(seconds(3));
          EXPECT_TRUE(work.works()) << when << ": it does not come back by itself";
          EXPECT_FALSE(work.m.engine->metrics().storage_full) << when;
          EXPECT_EQ(work.m.engine->metrics().cannot_grow, "") << when;
        }
        if (k % 2 == 0)
          work.m.power_cut(k);
        else
          work.m.process_kill(k);
        const auto report = work.m.start();
        ASSERT_TRUE(report) << when << ": " << report.error().to_string();
        work.check(when + ", after the restart");
        work.work(6);
        EXPECT_TRUE(work.works()) << when;
        work.check(when + ", and on");
        if (::testing::Test::HasFailure()) return;
        ++runs;
        if (!struck) break;
        if (lasting && k > 40) break;
        ASSERT_LT(k, 1'000U);
      }
    }
  }
  std::printf("%llu runs, %llu refusals, %llu failed logs\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(refusals), static_cast<unsigned long long>(failed));
  EXPECT_GT(failed, 0U);
  EXPECT_GT(refusals, 0U);
}

// The same at each operation of a start.
TEST(WhatMustHold6, EachOperationOfAStartFails) {
  Limits before(3);
  ASSERT_TRUE(before.m.start());
  before.work(20);
  before.m.run_for(seconds(1));
  before.m.process_kill(1);
  const auto files = files_of(before.m.disk);
  QueueMachine reference(3, limit_options(), at_once());
  put_files(reference.disk, files);
  ASSERT_TRUE(reference.start());
  const auto says = snapshot(*reference.engine);
  for (const auto os_errno : {EMFILE, EIO, ENOSPC, EROFS}) {
    for (std::uint64_t k = 1;; ++k) {
      const auto when = fmt::format("operation {} of the start answers {}", k, os_errno);
      const auto ops = os_errno == EMFILE ? only(DiskOp::kOpen) : os_errno == EIO ? kAnyDiskOp : kChangesDisk;
      QueueMachine m(3, limit_options(), at_once());
      put_files(m.disk, files);
      m.disk.faults().plan({.ops = ops, .nth = k, .os_errno = os_errno});
      auto report = m.start();
      const bool struck = m.disk.faults().struck() > 0;
      if (!report) {
        EXPECT_EQ(report.error().os_errno, os_errno) << when << ": " << report.error().to_string();
        EXPECT_NE(report.error().code, Errc::kCorrupt) << when << ": " << report.error().to_string();
        EXPECT_FALSE(report.error().subject.empty()) << when << ": " << report.error().to_string() << "\n"
                                                     << m.disk.trace();
      } else if (m.engine->state() == EngineState::kRunning) {
        EXPECT_EQ(snapshot(*m.engine), says) << when;
      }
      m.disk.faults().clear();
      m.power_cut(k);
      report = m.start();
      ASSERT_TRUE(report) << when << ": " << report.error().to_string();
      EXPECT_EQ(snapshot(*m.engine), says) << when;
      ASSERT_TRUE(m.submit(gossip("works"), sync_by("a"))) << when;
      if (::testing::Test::HasFailure()) return;
      if (!struck) break;
      ASSERT_LT(k, 1'000U);
    }
  }
}

// -- Descriptors and a file system that turned read-only --------------------------------------------------------

TEST(WhatMustHold6, WithoutDescriptorsItRefusesAndComesBackByItself) {
  for (std::size_t more = 0; more < 3; ++more) {
    QueueMachine m(10, limit_options(), at_once());
    ASSERT_TRUE(m.start());
    m.disk.set_descriptors_max(m.disk.open_files() + more);
    Error error;
    int accepted = 0;
    for (int i = 0; i < 500; ++i) {
      const auto done = m.submit(gossip("s", std::string(1000, 's')), sync_by("a"));
      if (done)
        ++accepted;
      else
        error = done.error();
      m.run_for(milliseconds(1));
    }
    if (error.os_errno != 0) {
      EXPECT_EQ(error.os_errno, EMFILE) << error.to_string();
      EXPECT_EQ(error.code, Errc::kStorageFailed) << error.to_string();
    }
    ASSERT_EQ(m.engine->state(), EngineState::kRunning);
    EXPECT_FALSE(m.engine->metrics().storage_full) << "there is room";
    if (error.os_errno != 0) {
      EXPECT_NE(m.engine->metrics().cannot_grow.find("Too many open files"), std::string::npos);
    }
    m.disk.set_descriptors_max(SIZE_MAX);
    m.run_for(seconds(3));
    EXPECT_EQ(m.engine->metrics().cannot_grow, "");
    ASSERT_TRUE(m.submit(gossip("back"), sync_by("a")));
    m.power_cut(1);
    ASSERT_TRUE(m.start());
    EXPECT_EQ(m.engine->depth().total(), static_cast<std::uint64_t>(accepted) + 1);
  }
}

TEST(WhatMustHold6, AReadOnlyFileSystemFailsTheLogAndARestartBringsItBack) {
  QueueMachine m(11, limit_options(), at_once());
  ASSERT_TRUE(m.start());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(m.submit(gossip("s"), sync_by("a")));
  m.disk.set_read_only(true);
  const auto refused = m.submit(gossip("no"), sync_by("a"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kStorageFailed);
  EXPECT_EQ(refused.error().os_errno, EROFS) << refused.error().to_string();
  EXPECT_FALSE(m.take());
  m.process_kill(1);
  const auto still = m.start();
  ASSERT_FALSE(still) << "it cannot promise anything on a read-only file system";
  EXPECT_EQ(still.error().os_errno, EROFS) << still.error().to_string();
  m.engine.reset();
  m.disk.set_read_only(false);
  m.disk.process_kill(2);
  m.disk.reboot();
  const auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.engine->depth().total(), 50U);
}

}  // namespace
}  // namespace qh::queue
