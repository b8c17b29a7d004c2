// The names of the directories that a first start makes are durable before anything is written into them: a power cut
// must not take the directory of an acknowledged message. Seen from outside, by the system calls.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "node_process.h"

namespace qh::test {
namespace {

namespace fs = std::filesystem;

/// Starts what it wraps under strace, which writes the calls that count into a file.
NodeProcess::Options traced(const fs::path& trace, const std::string& inject = {}) {
  NodeProcess::Options how;
  how.environment = {{"LSAN_OPTIONS", "detect_leaks=0"}};  // which does not work under ptrace
  how.wrapper = {"/usr/bin/strace",
                 "-D",
                 "-f",
                 "-qqq",
                 "-y",
                 "-s",
                 "0",
                 "-o",
                 trace.string(),
                 "-e",
                 "trace=mkdir,mkdirat,fsync,syncfs,pwrite64,pwritev2"};
  if (!inject.empty()) how.wrapper.insert(how.wrapper.end(), {"-e", "inject=" + inject});
  return how;
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool has(const std::string& line, const std::string& part) { return line.find(part) != line.npos; }

/// The directory above `made` was synced, behind its mkdir if there was one, and before the first write of records.
::testing::AssertionResult durable_before_its_contents(const std::vector<std::string>& trace, const fs::path& made) {
  bool synced = false;
  std::ostringstream all;
  for (const auto& line : trace) {
    all << line << "\n";
    if (has(line, "mkdir") && has(line, "\"" + made.string() + "\"")) synced = false;
    if (has(line, "fsync(") && has(line, "<" + made.parent_path().string() + ">)")) synced = has(line, "= 0");
    if (!has(line, "pwrite")) continue;
    if (synced) return ::testing::AssertionSuccess();
    break;
  }
  return ::testing::AssertionFailure() << made << " may be gone after a power cut:\n" << all.str();
}

std::vector<fs::path> made_below(const fs::path& top) {
  return {top / "c2", top / "c2/state", top / "c2/state/alice", top / "c2/state/alice/queue"};
}

std::vector<std::string> node_on(const fs::path& data) {
  return {"--validator", "--name",     "alice", "--port-offset", std::to_string(free_port_offset(1)),
          "--data-dir",  data.string()};
}

TEST(MadeDirectories, AreDurableBeforeAFirstStartWritesIntoThem) {
  const TempDir top;
  const auto trace = top.path() / "trace";
  NodeProcess node(node_on(top.path() / "c2/state"), traced(trace));
  ASSERT_TRUE(node.says("alice: ready on port")) << node.err();
  EXPECT_EQ(node.stop(), 0);
  for (const auto& one : made_below(top.path())) EXPECT_TRUE(durable_before_its_contents(lines_of(trace), one));
}

TEST(MadeDirectories, AreDurableBeforeAnImportWritesIntoThem) {
  const TempDir top;
  const auto trace = top.path() / "trace", file = top.path() / "one.ndjson";
  std::ofstream(file) << R"({"message":{"Gossip":{"topic":"t","data":[1]}},"message_id":1,"created_at":1})"
                      << "\n";
  NodeProcess import({"wal", "import", file.string(), "--dir", (top.path() / "c2/state/alice/queue").string()},
                     traced(trace));
  ASSERT_EQ(import.wait(), 0) << import.err();
  for (const auto& one : made_below(top.path())) EXPECT_TRUE(durable_before_its_contents(lines_of(trace), one));
}

// The sync of each directory fails once: the start says so and ends, and the next one does not believe the directories
// that it finds.
TEST(MadeDirectories, OfAStartThatWasCutOffAreSyncedByTheNext) {
  unsigned refused = 0;
  for (unsigned k = 1; k <= 30; ++k) {
    SCOPED_TRACE(k);
    const TempDir top;
    const auto first = top.path() / "first", second = top.path() / "second";
    {
      NodeProcess node(node_on(top.path() / "c2/state"), traced(first, "fsync:error=EIO:when=" + std::to_string(k)));
      if (node.says("alice: ready on port")) break;
      EXPECT_NE(node.wait(), 0);
      if (!has(node.err(), "make the directory")) break;  // beyond them
      EXPECT_TRUE(has(node.err(), "Input/output error")) << node.err();
    }
    ++refused;
    NodeProcess node(node_on(top.path() / "c2/state"), traced(second));
    ASSERT_TRUE(node.says("alice: ready on port")) << node.err();
    EXPECT_EQ(node.stop(), 0);
    for (const auto& one : made_below(top.path())) EXPECT_TRUE(durable_before_its_contents(lines_of(second), one));
  }
  EXPECT_GE(refused, 4U);
}

}  // namespace
}  // namespace qh::test
