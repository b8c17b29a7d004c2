// "What must hold" 1: a real kill -9 at any moment, with random work, compaction and recycling under way. This
// process keeps the record of what the killed ones were told.
//
// QH_ROUNDS=n sets how many times it kills.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/rng.h"
#include "crash_worker.h"

namespace qh::queue {
namespace {

struct Known {
  std::uint64_t id = 0;
  bool acknowledged = false;
  bool seen = false;  ///< so it was kept, whether or not its submitter lived to hear it
  bool gone = false;
  bool ack_asked = false;
};

class Record {
 public:
  std::string failure;
  std::uint64_t submitted = 0, ended = 0, recycled = 0;

  void line(const std::string& text) {
    std::istringstream in(text);
    std::string word;
    std::uint64_t a = 0, b = 0, c = 0;
    in >> word;
    if (word == "failed" || word == "note") {
      if (word == "failed") fail(text);
      return;
    }
    if (word == "group") {
      std::vector<std::uint64_t> tags;
      while (in >> a) tags.push_back(a);
      groups_.push_back(std::move(tags));
      return;
    }
    in >> a >> b >> c;
    if (word == "have") have(a, b);
    if (word == "ready") check();
    if (word == "ready") recycled_in_life_ = 0;
    if (word == "recycled") count_recycled(a);
    if (word == "submit") known_[a];
    if (word == "submitted") {
      ++submitted;
      known_[a].acknowledged = true;
      note_id(a, b);
    }
    if (word == "leased") known_[a].seen = true;
    if (word == "leased" && known_[a].gone) fail(fmt::format("message {} was leased after its end", a));
    if (word == "leased" && !leases_.insert(b).second) fail(fmt::format("lease {} was given twice", b));
    if (word == "take") takes_.insert(a);
    if (word == "nothing") takes_.erase(a);
    if (word == "taken") {
      takes_.erase(a);
      end(b);
      note_id(b, c);
    }
    if (word == "ack") known_[b].ack_asked = true;
    if (word == "acked") end(b);
  }

 private:
  void fail(const std::string& why) {
    if (failure.empty()) failure = why;
  }
  /// From several threads: the newest figure need not come last.
  void count_recycled(std::uint64_t in_life) {
    if (in_life > recycled_in_life_) recycled += in_life - recycled_in_life_;
    recycled_in_life_ = std::max(recycled_in_life_, in_life);
  }
  void note_id(std::uint64_t tag, std::uint64_t id) {
    known_[tag].id = id;
    known_[tag].seen = true;
    const auto [it, fresh] = ids_.emplace(id, tag);
    if (!fresh && it->second != tag) fail(fmt::format("id {} was given to {} and to {}", id, it->second, tag));
  }
  void end(std::uint64_t tag) {
    ++ended;
    if (known_[tag].gone) fail(fmt::format("message {} was handed out twice", tag));
    known_[tag].gone = true;
  }
  void have(std::uint64_t tag, std::uint64_t id) {
    if (!known_.contains(tag)) fail(fmt::format("message {} was never submitted", tag));
    if (known_[tag].gone) fail(fmt::format("message {} is back after its end", tag));
    if (!present_.insert(tag).second) fail(fmt::format("message {} is there twice", tag));
    note_id(tag, id);
    known_[tag].acknowledged = true;
    known_[tag].ack_asked = false;
  }
  /// The inventory is complete: what is missing must have an excuse.
  void check() {
    std::size_t excused = takes_.size();
    for (auto& [tag, known] : known_) {
      if (known.gone || present_.contains(tag)) continue;
      if (known.acknowledged && !known.ack_asked) {
        if (excused == 0)
          fail(fmt::format("message {} (id {}) is lost", tag, known.id));
        else
          --excused;
      }
      known.gone = true;
    }
    for (const auto& group : groups_) {
      std::size_t kept = 0;
      for (const auto tag : group) kept += known_[tag].seen;
      if (kept == 0) continue;
      // A take that was under way may have had one of them, before its submitter heard that it was stored.
      const auto missing = group.size() - kept;
      if (missing > excused) fail(fmt::format("a batch of {} was kept in part: {}", group.size(), kept));
      excused -= std::min(excused, missing);
    }
    groups_.clear();
    takes_.clear();
    present_.clear();
  }

  std::map<std::uint64_t, Known> known_;
  std::map<std::uint64_t, std::uint64_t> ids_;
  std::set<std::uint64_t> present_, takes_, leases_;
  std::uint64_t recycled_in_life_ = 0;
  std::vector<std::vector<std::uint64_t>> groups_;
};

/// One life: starts a worker, kills it some time after it is ready, and reads all that it said.
void one_life(const std::string& directory, std::uint64_t life, Rng& rng, Record& record) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::setenv("QH_CRASH_WORKER", directory.c_str(), 1);
    ::setenv("QH_CRASH_LIFE", std::to_string(life).c_str(), 1);
    ::execl("/proc/self/exe", "crash_worker", nullptr);
    std::_Exit(127);
  }
  ::close(ends[1]);
  SystemClock clock;
  const auto started = clock.mono();
  auto kill_at = started + std::chrono::seconds(60);  // a worker that never gets ready is killed, too, and fails
  bool ready = false, killed = false;
  std::string text;
  char buffer[65536];
  while (true) {
    const auto left = kill_at - clock.mono();
    if (!killed && left <= Duration(0)) {
      ::kill(child, SIGKILL);
      killed = true;
    }
    pollfd waiting{ends[0], POLLIN, 0};
    const auto timeout = killed ? -1 : static_cast<int>(left.count() / 1'000'000 + 1);
    if (::poll(&waiting, 1, timeout) <= 0) continue;
    const auto got = ::read(ends[0], buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const auto line = text.substr(0, end);
      text.erase(0, end + 1);
      record.line(line);
      if (line == "ready") {
        ready = true;
        kill_at = clock.mono() + Duration(static_cast<std::int64_t>(rng.below(60'000'000)));
      }
    }
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!ready && record.failure.empty()) record.failure = fmt::format("life {}: the worker did not get ready", life);
}

TEST(WhatMustHold1, KillMinus9AtAnyMoment) {
  const char* asked = std::getenv("QH_ROUNDS");
  const std::uint64_t rounds = asked == nullptr ? 40 : std::strtoull(asked, nullptr, 10);
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("qh-crash-{}", ::getpid());
  SystemClock clock;
  const auto seed = static_cast<std::uint64_t>(clock.wall().ns);
  SeededRng rng(seed);
  Record record;
  for (std::uint64_t life = 1; life <= rounds; ++life) {
    ASSERT_NO_FATAL_FAILURE(one_life(directory, life, rng, record));
    ASSERT_EQ(record.failure, "") << "life " << life << ", the queue is kept in " << directory;
  }
  std::printf("%llu kills: %llu durable submits, %llu taken or acked, %llu segments recycled\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(record.submitted),
              static_cast<unsigned long long>(record.ended), static_cast<unsigned long long>(record.recycled));
  EXPECT_GT(record.submitted, rounds);
  EXPECT_GT(record.ended, 0U);
  EXPECT_GT(record.recycled, 0U);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace qh::queue

int main(int argc, char** argv) {
  if (const char* directory = std::getenv("QH_CRASH_WORKER")) {
    return qh::queue::crash_worker(directory, std::strtoull(std::getenv("QH_CRASH_LIFE"), nullptr, 10));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
