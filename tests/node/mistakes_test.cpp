// What a person does wrong, or the machine: it is told in a line with its remedy, and ends with the right code.

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "node_process.h"

#ifndef __has_feature  // GCC 12 and 13
#define __has_feature(x) 0
#endif

namespace qh::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Runs to its end.
struct Ended {
  explicit Ended(Words arguments, const NodeProcess::Options& options = {})
      : process(std::move(arguments), options), code(process.wait()) {}
  const std::string& err() const { return process.err(); }
  bool says(std::string_view part) const { return process.err().find(part) != std::string::npos; }
  NodeProcess process;
  int code;
};

TEST(Mistakes, ADirectoryInPlaceOfAFileIsToldAndNamed) {
  TempDir directory;
  const auto path = directory.path().string();
  for (const auto& words : {Words{"config", "check"}, Words{"--port-offset", std::to_string(free_port_offset())}}) {
    auto all = words;
    all.insert(all.end(), {"--data-dir", (directory.path() / "data").string(), "--rpc-token-file", path});
    const Ended ended(all);
    EXPECT_EQ(ended.code, 2) << ended.err();
    EXPECT_TRUE(ended.says("--rpc-token-file: read " + path + ": Is a directory")) << ended.err();
  }
  const Ended import({"wal", "import", path, "--dir", (directory.path() / "queue").string()});
  EXPECT_EQ(import.code, 1);
  EXPECT_TRUE(import.says("read " + path + ": Is a directory")) << import.err();
  EXPECT_EQ(Ended({"--config", path, "config", "check"}).code, 2);
}

TEST(Mistakes, ATokenFileThatIsNotThereIsNamedByWhereItWasAskedFor) {
  TempDir directory;
  const Ended flag({"--rpc-token-file", "nope", "--data-dir", directory.path().string()});
  EXPECT_EQ(flag.code, 2);
  EXPECT_TRUE(flag.says("--rpc-token-file: read nope: No such file")) << flag.err();
  const auto file = directory.path() / "node.toml";
  std::ofstream(file) << "\nrpc-token-file = \"nope\"\n";
  const Ended key({"--config", file.string(), "config", "check"});
  EXPECT_TRUE(key.says("node.toml:2: rpc-token-file: read nope: No such file")) << key.err();
}

TEST(Mistakes, ACurrentDirectoryThatIsGoneIsNoCrash) {
  TempDir directory;
  const auto gone = (directory.path() / "gone").string();
  const Ended ended({"config", "check", "--data-dir", "relative"},
                    {.environment = {},
                     .wrapper = {"/bin/sh", "-c",
                                 "mkdir " + gone + " && cd " + gone + " && rmdir " + gone + " && exec \"$0\" \"$@\""}});
  EXPECT_EQ(ended.code, 2) << ended.err();
  EXPECT_TRUE(ended.says("--data-dir: relative begins in the current directory, and there is none")) << ended.err();
}

TEST(Mistakes, OutputThatAFullDiskDoesNotTakeIsToldAndFails) {
  TempDir directory;
  const auto queue = (directory.path() / "queue").string();
  std::ofstream(directory.path() / "none.ndjson") << "";
  ASSERT_EQ(Ended({"wal", "import", (directory.path() / "none.ndjson").string(), "--dir", queue}).code, 0);
  for (const auto& words :
       {Words{"--version"}, Words{"--help"}, Words{"man"}, Words{"completion", "bash"}, Words{"config", "check"},
        Words{"config", "show"}, Words{"config", "show", "--output", "json"}, Words{"wal", "--help"},
        Words{"wal", "verify", "--dir", queue}, Words{"wal", "dump", "--dir", queue}}) {
    const Ended ended(words, {.environment = {}, .wrapper = {"/bin/sh", "-c", "exec \"$0\" \"$@\" >/dev/full"}});
    EXPECT_EQ(ended.code, 1) << words.front();
    EXPECT_EQ(ended.err(), "quantumharmony-node: cannot write the output: No space left on device\n") << words.front();
  }
}

/// Of the node and of an import, on a log that may not grow to what it needs.
TEST(Mistakes, ABoundOfTheSizeOfFilesIsTold) {
  TempDir directory;
  const auto lines = directory.path() / "lines";
  std::ofstream(lines) << R"({"message":{"Gossip":{"topic":"t","data":"0xaa"}},"message_id":1,"created_at":1})"
                       << "\n";
  const NodeProcess::Options small{.environment = {}, .wrapper = {"/usr/bin/prlimit", "--fsize=8192"}};
  const Words node{"--validator",
                   "--name",
                   "alice",
                   "--port-offset",
                   std::to_string(free_port_offset(1)),
                   "--data-dir",
                   (directory.path() / "data").string()};
  const Words import{"wal", "import", lines.string(), "--dir", (directory.path() / "queue").string()};
  for (const auto& words : {node, import}) {
    const Ended ended(words, small);
    EXPECT_EQ(ended.code, 1) << ended.err();
    EXPECT_TRUE(ended.says("File too large. Allow it larger files: ulimit -f, or LimitFSIZE=")) << ended.err();
  }
}

TEST(Mistakes, AKeyOfVeryManyPartsIsNoCrash) {
  TempDir directory;
  const auto path = (directory.path() / "deep.toml").string();
  std::string key = "a";
  for (int i = 1; i < 40'000; ++i) key += ".a";
  for (const auto& text : {key + " = 1\n", "[" + key + "]\n"}) {
    std::ofstream(path) << text;
    const Ended ended({"--config", path, "config", "check"});
    EXPECT_EQ(ended.code, 2);
    EXPECT_TRUE(ended.says("deep.toml:1: a key of more than 8 parts")) << ended.err();
  }
}

TEST(Mistakes, NoFlagOfWalIsTakenAndPassedOver) {
  const std::pair<Words, const char*> mistakes[] = {
      {{"verify", "--data-dir", ""}, "--data-dir: expected DIR, got ''"},
      {{"repair", "--dir", ""}, "--dir: expected QUEUE_DIRECTORY, got ''"},
      {{"export", "--name="}, "--name: expected VALIDATOR, got ''"},
      {{"import", "-", "--config", ""}, "--config: expected FILE, got ''"},
      {{"import", "-", "--queue-max-depth", ""}, "--queue-max-depth: expected MESSAGES, got ''"},
      {{"import", ""}, "'': unexpected"},
      {{"verify", "--dir"}, "--dir: needs a value, QUEUE_DIRECTORY"},
      {{"repair", "--data-dir", "--name", "alice"}, "--data-dir: needs a value, DIR"},
      {{"export", "--output", "json"}, "--output: is for dump"},
      {{"dump", "--ndjson"}, "--ndjson: is for export"},
      {{"verify", "--renumber"}, "--renumber: is for import"},
      {{"repair", "--dead-letters"}, "--dead-letters: is for import"},
      {{"verify", "--queue-max-depth", "7"}, "--queue-max-depth: is for import"},
      {{"import", "-", "--renumber=no"}, "--renumber: takes no value"},
      {{"verify", "--dir", "d", "--config", "f"}, "--config: with --dir it is for import"},
      {{"veriyf"}, "veriyf: unknown command (did you mean verify?)"},
      {{"verify", "--data-dri", "d"}, "--data-dri: unknown flag (did you mean --data-dir?)"},
      {{"verify", "-v"}, "-v: unknown flag"},
  };
  for (auto [words, text] : mistakes) {
    words.insert(words.begin(), "wal");
    const Ended ended(words);
    EXPECT_EQ(ended.code, 2) << text;
    EXPECT_TRUE(ended.says(std::string("quantumharmony-node wal: ") + text)) << ended.err();
  }
}

TEST(Mistakes, AnEmptyConfigurationFileNameStartsNothing) {
  TempDir directory;
  const auto file = directory.path() / "node.toml";
  std::ofstream(file) << "data-dir = \"" << directory.path().string() << "\"\n";
  for (const auto& environment : {std::map<std::string, std::string>{}, {{"QUANTUMHARMONY_CONFIG", file.string()}}}) {
    const Ended ended({"--config", ""}, {.environment = environment, .wrapper = {}});
    EXPECT_EQ(ended.code, 2);
    EXPECT_TRUE(ended.says("--config: expected FILE, got ''")) << ended.err();
  }
}

#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)  // these need threads of their own
/// As a user with so many threads, processes included, and no other process. Only root can become another.
NodeProcess::Options with_threads(unsigned threads) {
  return {.environment = {},
          .wrapper = {"/usr/bin/prlimit", "--nproc=" + std::to_string(threads), "/usr/bin/setpriv", "--reuid=61234",
                      "--regid=61234", "--clear-groups"}};
}

TEST(Mistakes, ALimitThatIsReachedIsNamedAndNotAnotherDirectory) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become a user without other processes";
  for (unsigned threads = 1; threads <= 6; ++threads) {
    TempDir directory;
    fs::permissions(directory.path(), fs::perms::all);
    const Ended ended({"--validators", "2", "--data-dir", directory.path().string(), "--port-offset",
                       std::to_string(free_port_offset())},
                      with_threads(threads));
    EXPECT_EQ(ended.code, 1) << threads;
    EXPECT_TRUE(ended.says("Resource temporarily unavailable; allow it more threads: ulimit -u"))
        << threads << ": " << ended.err();
    EXPECT_FALSE(ended.says("--data-dir")) << threads << ": " << ended.err();
  }
}
#endif

TEST(Mistakes, TooFewOpenFilesAreToldWhereverTheyRunOut) {
  for (unsigned files = 8; files <= 40; files += 2) {
    TempDir directory;
    NodeProcess node(
        {"--validators", "2", "--data-dir", directory.path().string(), "--port-offset",
         std::to_string(free_port_offset())},
        {.environment = {},
         .wrapper = {"/usr/bin/prlimit", "--nofile=" + std::to_string(files) + ":" + std::to_string(files)}});
    if (node.says("bob: ready on port")) break;  // these are enough
    EXPECT_EQ(node.wait(), 1) << files;
    EXPECT_NE(node.err().find("ulimit -n"), std::string::npos) << files << ": " << node.err();
    EXPECT_EQ(node.err().find("--data-dir"), std::string::npos) << files << ": " << node.err();
  }
}

TEST(Mistakes, AnAddressOfAnotherMachineIsNamedWithItsFlag) {
  TempDir directory;
  const auto tokens = directory.path() / "tokens";
  std::ofstream(tokens) << "wallet " << std::string(64, 'a') << " read\n";
  const Ended ended({"--listen", "192.0.2.1", "--allow-remote", "--rpc-token-file", tokens.string(), "--data-dir",
                     directory.path().string(), "--port-offset", std::to_string(free_port_offset())});
  EXPECT_EQ(ended.code, 1);
  EXPECT_TRUE(ended.says("this machine has no such address; `ip address` lists those that --listen may name"))
      << ended.err();
}

}  // namespace
}  // namespace qh::test
