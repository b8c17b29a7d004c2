// Bad days of the machine under a node: a disk that is full, read-only, damaged or not there, and a clock that jumps.
// Whatever happens, the node says what to do, and nothing acknowledged is lost.
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <set>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "http_client.h"
#include "node_process.h"
#include "own_mounts.h"

#ifndef __has_feature  // GCC 12 and 13
#define __has_feature(x) 0
#endif

namespace qh::test {
namespace {

namespace json = boost::json;

template <class Condition>
bool comes_true(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
  }
  return false;
}

/// alice alone, in a directory of the test's.
class Alice {
 public:
  explicit Alice(const std::filesystem::path& data, const NodeProcess::Options& how = {})
      : offset_(free_port_offset(1)),
        process_(
            {"--validator", "--name", "alice", "--port-offset", std::to_string(offset_), "--data-dir", data.string()},
            how) {}

  ::testing::AssertionResult starts() {
    if (process_.says("ready on port")) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << process_.err();
  }
  /// It ends with 1, and has said all of these.
  ::testing::AssertionResult refuses(std::initializer_list<std::string> words) {
    if (const int code = process_.wait(); code != 1)
      return ::testing::AssertionFailure() << "ended with " << code << ": " << process_.err();
    for (const auto& word : words) {
      if (process_.err().find(word) == std::string::npos)
        return ::testing::AssertionFailure() << word << " is not in: " << process_.err();
    }
    return ::testing::AssertionSuccess();
  }
  json::value call(std::string_view method, std::string_view params = "[]") const {
    return HttpClient(static_cast<std::uint16_t>(9944 + offset_)).call(rpc(method, params));
  }
  json::value result(std::string_view method, std::string_view params = "[]") const {
    const auto reply = call(method, params);
    const auto* found = reply.as_object().if_contains("result");
    EXPECT_NE(found, nullptr) << method << ": " << json::serialize(reply);
    return found != nullptr ? *found : nullptr;
  }
  HttpReply web(std::string_view path) const {
    HttpClient client(static_cast<std::uint16_t>(8080 + offset_));
    EXPECT_TRUE(client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    return client.reply().value_or(HttpReply());
  }
  NodeProcess& process() { return process_; }

 private:
  unsigned offset_;
  NodeProcess process_;
};

std::string durable(std::string_view topic, std::size_t bytes = 0, std::string_view more = {}) {
  return R"({"message":{"Gossip":{"topic":")" + std::string(topic) + R"(","data":"0x)" + std::string(2 * bytes, '0') +
         R"("}},"durability":"sync")" + std::string(more) + "}";
}

std::uint64_t id_of(const json::value& value) { return value.at("message_id").to_number<std::uint64_t>(); }

// -- The disk -------------------------------------------------------------------------------------------------

constexpr std::size_t kDiskBytes = 40U << 20;

/// Durable submits until the disk is full: what was acknowledged, and the refusal.
json::value fill(const Alice& alice, std::set<std::uint64_t>& acknowledged) {
  for (int i = 0; i < 1000; ++i) {
    const auto reply = alice.call("qssh_submitMessage", durable("t", 200'000));
    if (const auto* error = reply.as_object().if_contains("error")) return *error;
    acknowledged.insert(id_of(reply.at("result")));
  }
  ADD_FAILURE() << "the disk does not fill up";
  return {};
}

void expect_all_there(const Alice& alice, const std::set<std::uint64_t>& acknowledged) {
  for (const auto id : acknowledged) {
    const auto found = alice.result("qssh_find", R"({"message_id":)" + std::to_string(id) + "}");
    EXPECT_EQ(found.at("state"), "ready") << "message " << id;
  }
  EXPECT_EQ(alice.result("qssh_getQueueDepth"), acknowledged.size());
}

/// Until one more as large as those that were refused is taken; nothing else is asked for meanwhile.
bool takes_again(const Alice& alice, std::set<std::uint64_t>& acknowledged) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto reply = alice.call("qssh_submitMessage", durable("t", 200'000));
    if (!reply.as_object().contains("result")) continue;
    acknowledged.insert(id_of(reply.at("result")));
    return true;
  }
  return false;
}

TEST(Disk, ThatIsUnmountedUnderANodeEndsItsValidatorsAndNothingIsMadeInItsPlace) {
  const TempDir data;
  std::optional<OwnTmpfs> disk(std::in_place, data.path(), kDiskBytes);
  Alice alice(data.path());
  ASSERT_TRUE(alice.starts());
  (void)alice.result("qssh_submitMessage", durable("t"));
  disk.reset();
  EXPECT_TRUE(alice.process().says("alice: has ended: the data of alice in ")) << alice.process().err();
  EXPECT_TRUE(comes_true([&] { return alice.web("/readyz").status == 503; }));
  EXPECT_EQ(alice.process().stop(), 1) << alice.process().err();
  EXPECT_TRUE(std::filesystem::is_empty(data.path())) << "not under the mount point";
}

TEST(Disk, WhenItIsFullSubmitsAreRefusedTakesGoOnAndServiceResumes) {
  const TempDir data;
  const OwnTmpfs disk(data.path(), kDiskBytes);
  Alice alice(data.path());
  ASSERT_TRUE(alice.starts());
  std::set<std::uint64_t> acknowledged;
  const auto error = fill(alice, acknowledged);
  EXPECT_GT(acknowledged.size(), 50U);
  EXPECT_EQ(error.at("code"), -32003) << json::serialize(error);
  EXPECT_EQ(error.at("data").at("reason"), "StorageFull");
  EXPECT_NE(error.at("message").as_string().find("No space left on device"), std::string::npos);
  EXPECT_TRUE(alice.process().says("No space left on device; free some space there")) << alice.process().err();
  HttpReply ready;  // its figures come once a second
  EXPECT_TRUE(comes_true([&] { return (ready = alice.web("/readyz")).status == 503; }))
      << alice.process().err() << alice.call("qssh_submitMessage", durable("t", 200'000));
  EXPECT_NE(ready.body.find("alice failed: its disk has no room for submits"), std::string::npos) << ready.body;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(acknowledged.erase(id_of(alice.result("qssh_popMessage"))), 1U);
  EXPECT_EQ(fill(alice, acknowledged).at("code"), -32003) << "as before";
  disk.resize(10 * kDiskBytes);
  EXPECT_TRUE(takes_again(alice, acknowledged)) << "by itself, when there is room: " << alice.process().err();
  EXPECT_TRUE(comes_true([&] { return alice.web("/readyz").status == 200; }));
  for (; !acknowledged.empty();) ASSERT_EQ(acknowledged.erase(id_of(alice.result("qssh_popMessage"))), 1U);
  EXPECT_EQ(alice.process().stop(), 0);
}

TEST(Disk, AStartOnAFullOneWorksAndLosesNothing) {
  const TempDir data;
  const OwnTmpfs disk(data.path(), kDiskBytes);
  std::set<std::uint64_t> acknowledged;
  {
    Alice alice(data.path());
    ASSERT_TRUE(alice.starts());
    (void)fill(alice, acknowledged);
    alice.process().send_signal(SIGKILL);
    alice.process().wait();
  }
  {
    std::ofstream rest(data.path() / "others", std::ios::binary);  // and somebody else takes what is left
    while (rest.write("others' bytes\n", 14).flush()) {
    }
  }
  for (const int signal : {SIGKILL, SIGTERM, SIGKILL}) {
    Alice alice(data.path());
    ASSERT_TRUE(alice.starts());
    expect_all_there(alice, acknowledged);
    EXPECT_EQ(alice.call("qssh_submitMessage", durable("t", 200'000)).at("error").at("code"), -32003);
    alice.process().send_signal(signal);
    alice.process().wait();
  }
  std::filesystem::remove(data.path() / "others");
  disk.resize(10 * kDiskBytes);
  Alice alice(data.path());
  ASSERT_TRUE(alice.starts());
  EXPECT_TRUE(takes_again(alice, acknowledged));
  expect_all_there(alice, acknowledged);
}

TEST(Disk, ANewQueueWithoutRoomSaysWhatToDoAndCanBeMadeLater) {
  const TempDir data;
  const OwnTmpfs disk(data.path(), 1U << 20);
  EXPECT_TRUE(Alice(data.path()).refuses({"alice: ", "No space left on device", "Free some space", "--data-dir DIR"}));
  disk.resize(kDiskBytes);
  Alice alice(data.path());
  EXPECT_TRUE(alice.starts()) << "what the first attempt has left is in nobody's way";
}

TEST(Disk, AReadOnlyOneIsNamedWithTheRemedy) {
  const TempDir data;
  const OwnTmpfs disk(data.path(), kDiskBytes);
  std::uint64_t id = 0;
  {
    Alice alice(data.path());
    ASSERT_TRUE(alice.starts());
    id = id_of(alice.result("qssh_submitMessage", durable("kept")));
    EXPECT_EQ(alice.process().stop(), 0);
  }
  disk.set_read_only(true);
  const auto where = (data.path() / "alice/queue").string();
  EXPECT_TRUE(Alice(data.path()).refuses({where, "Read-only file system", "remount,rw", "--data-dir DIR"}));
  EXPECT_TRUE(Alice(data.path() / "new").refuses({"Read-only file system", "remount,rw", "--data-dir DIR"}));
  NodeProcess import({"wal", "import", "/dev/null", "--dir", where});
  EXPECT_EQ(import.wait(), 1);
  EXPECT_NE(import.err().find("Read-only file system. Mount it writable"), std::string::npos) << import.err();
  disk.set_read_only(false);
  Alice alice(data.path());
  ASSERT_TRUE(alice.starts());
  expect_all_there(alice, {id});
}

TEST(Disk, ADirectoryThatMayNotBeWrittenIsNamedWithTheRemedy) {
  const TempDir data;
  ASSERT_EQ(::chmod(data.path().c_str(), 0555), 0);
  NodeProcess::Options how;
  // Root may write everywhere, unless it lacks this capability.
  if (::geteuid() == 0) how.wrapper = {"/usr/bin/setpriv", "--bounding-set=-dac_override", "--"};
  EXPECT_TRUE(Alice(data.path(), how).refuses({data.path().string(), "Permission denied", "chown", "--data-dir DIR"}));
  ASSERT_EQ(::chmod(data.path().c_str(), 0755), 0);
}

TEST(Disk, WhatIsNoDirectoryIsNamedWithTheRemedy) {
  const TempDir data;
  const auto file = data.path() / "file";
  std::ofstream(file) << "not a directory\n";
  EXPECT_TRUE(Alice(file).refuses({file.string(), "Not a directory", "--data-dir DIR"}));
}

TEST(Disk, AMissingDirectoryIsMadeForItsOwnerOnly) {
  const TempDir data;
  const auto deep = data.path() / "not" / "there" / "yet";
  Alice alice(deep);
  ASSERT_TRUE(alice.starts());
  struct stat found {};
  ASSERT_EQ(::stat((deep / "alice").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700U);
}

// Any byte of a header, a record or the identity: tests/queue/damage_test.cpp. Here: what the operator reads, and that
// doing so works.
TEST(Disk, ADamagedLogIsNamedWithTheCommandThatSalvagesIt) {
  for (const char* file : {"00000001.wal", "identity"}) {
    const TempDir data;
    {
      Alice alice(data.path());
      ASSERT_TRUE(alice.starts());
      for (int i = 0; i < 3; ++i) (void)alice.result("qssh_submitMessage", durable("kept"));
      EXPECT_EQ(alice.process().stop(), 0);
    }
    const auto queue = data.path() / "alice" / "queue";
    {
      std::fstream bytes(queue / file, std::ios::in | std::ios::out | std::ios::binary);
      bytes.seekp(20);
      bytes.put('\xff');
    }
    const auto repair = "quantumharmony-node wal repair --dir " + queue.string();
    EXPECT_TRUE(Alice(data.path()).refuses({file, "Nothing was changed", repair})) << file;
    NodeProcess salvage({"wal", "repair", "--dir", queue.string()});
    EXPECT_EQ(salvage.wait(), 0) << salvage.out() << salvage.err();
    Alice alice(data.path());
    ASSERT_TRUE(alice.starts());
    EXPECT_EQ(alice.result("qssh_getQueueDepth"), 3) << file << ": the records were whole";
  }
}

// -- The clock ------------------------------------------------------------------------------------------------

// A sanitizer's runtime and a library that comes before it do not go together.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

/// Debian's faketime between the node and its clock: the time of day jumps while the node runs, the monotonic clock
/// goes on as it is.
class JumpingClock {
 public:
  JumpingClock() { jump("+0"); }
  /// As faketime(1) has it: "+2h", "-400d".
  void jump(std::string_view offset) const {
    std::ofstream(file().string() + ".new") << offset << "\n";
    std::filesystem::rename(file().string() + ".new", file());
  }
  NodeProcess::Options options() const {
    glob_t found{};
    EXPECT_EQ(::glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, nullptr, &found), 0) << "install faketime";
    NodeProcess::Options how;
    if (found.gl_pathc > 0) how.environment["LD_PRELOAD"] = found.gl_pathv[0];
    ::globfree(&found);
    how.environment["FAKETIME_TIMESTAMP_FILE"] = file().string();
    how.environment["FAKETIME_NO_CACHE"] = how.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1";
    return how;
  }

 private:
  std::filesystem::path file() const { return directory_.path() / "offset"; }
  TempDir directory_;
};

/// The node's own view of the time.
std::int64_t put_and_read_clock(const Alice& alice, std::string_view topic, std::vector<std::uint64_t>& ids) {
  ids.push_back(id_of(alice.result("qssh_submitMessage", durable(topic))));
  const auto found = alice.result("qssh_find", R"({"message_id":)" + std::to_string(ids.back()) + "}");
  return found.at("created_at_ms").to_number<std::int64_t>();
}

constexpr std::int64_t kHourMs = 3'600'000, kDayMs = 24 * kHourMs;

// specs/queue.md: "a jump either way neither loses, repeats nor reorders anything".
TEST(Clock, AJumpEitherWayNeitherLosesNorRepeatsNorReorders) {
  const TempDir data;
  const JumpingClock clock;
  std::vector<std::uint64_t> ids;
  {
    Alice alice(data.path(), clock.options());
    ASSERT_TRUE(alice.starts());
    const auto start_ms = put_and_read_clock(alice, "first", ids);
    const auto keyed = durable("keyed", 0, R"(,"idempotency_key":"k")");
    ids.push_back(id_of(alice.result("qssh_submitMessage", keyed)));
    const auto lease = alice.result("qssh_lease", R"({"duration_ms":600000})").at(0);
    ASSERT_EQ(id_of(lease), ids.front());
    for (const auto& [offset, ms] : {std::pair("+400d", 400 * kDayMs), {"-800d", -800 * kDayMs}, {"+0", kHourMs * 0}}) {
      clock.jump(offset);
      const auto now_ms = put_and_read_clock(alice, offset, ids);
      ASSERT_NEAR(static_cast<double>(now_ms - start_ms), static_cast<double>(ms), static_cast<double>(kHourMs))
          << "the clock did not jump, so this test shows nothing";
      const auto again = alice.result("qssh_submitMessage", keyed);
      EXPECT_EQ(again.at("duplicate"), true) << offset;
      EXPECT_EQ(id_of(again), ids[1]) << offset;
      const auto metrics = alice.result("qssh_getMetrics");
      EXPECT_EQ(metrics.at("leases_out"), 1) << offset << ": a lease runs on the monotonic clock";
      EXPECT_EQ(points_lost_but_by_the_disk(metrics), 0) << offset;
      EXPECT_LT(metrics.at("uptime").to_number<double>(), 600) << offset;
      EXPECT_GE(metrics.at("latency").to_number<double>(), 0) << offset;
      EXPECT_LT(metrics.at("latency").to_number<double>(), 60'000) << offset;
      EXPECT_GE(metrics.at("oldest_ready_s").to_number<double>(), 0) << offset;
    }
    EXPECT_EQ(alice.result("qssh_nack", R"({"leases":[)" + json::serialize(lease.at("lease")) + R"(],"delay_ms":0})")
                  .at("done"),
              1);
    clock.jump("-30d");
    alice.process().send_signal(SIGKILL);
    alice.process().wait();
  }
  Alice alice(data.path(), clock.options());
  ASSERT_TRUE(alice.starts()) << "a month before what it wrote";
  (void)put_and_read_clock(alice, "last", ids);
  for (const auto id : ids) EXPECT_EQ(id_of(alice.result("qssh_popMessage")), id) << "in the order of the submits";
  EXPECT_TRUE(alice.result("qssh_popMessage").is_null());
  EXPECT_EQ(alice.process().stop(), 0);
}

TEST(Clock, TheUptimeOfTheNodeDoesNotFollowAJump) {
  const TempDir data;
  const JumpingClock clock;
  Alice alice(data.path(), clock.options());
  ASSERT_TRUE(alice.starts());
  clock.jump("-400d");
  const auto uptime_s = alice.web("/api/v1/status").json().at("uptime_seconds").to_number<double>();
  EXPECT_GE(uptime_s, 0);
  EXPECT_LT(uptime_s, 600);
}

TEST(Clock, WhatGoesByTheTimeOfDayFollowsAJump) {
  const TempDir data;
  const JumpingClock clock;
  Alice alice(data.path(), clock.options());
  ASSERT_TRUE(alice.starts());
  std::vector<std::uint64_t> ids;
  const auto hour = put_and_read_clock(alice, "plain", ids) + kHourMs;
  const auto state = [&](std::uint64_t id) {
    return alice.result("qssh_find", R"({"message_id":)" + std::to_string(id) + "}").at("state");
  };
  const auto put = [&](std::string_view field) {
    const auto more = ",\"" + std::string(field) + "\":" + std::to_string(hour);
    return id_of(alice.result("qssh_submitMessage", durable("timed", 0, more)));
  };
  const auto delayed = put("not_before_ms");
  const auto expires = put("expires_at_ms");
  clock.jump("-400d");
  (void)put_and_read_clock(alice, "in the past", ids);
  EXPECT_EQ(state(delayed), "delayed");
  EXPECT_EQ(state(expires), "ready");
  clock.jump("+2h");
  EXPECT_TRUE(comes_true([&] { return state(delayed) == "ready"; }));
  EXPECT_TRUE(comes_true([&] { return state(expires) == "dead"; }));
  clock.jump("+0");
  (void)put_and_read_clock(alice, "back", ids);
  EXPECT_EQ(state(delayed), "ready") << "what was due stays so";
  EXPECT_EQ(state(expires), "dead");
  for (const auto id : ids) EXPECT_EQ(state(id), "ready");
}
#endif

}  // namespace
}  // namespace qh::test
