// `quantumharmony-node wal`: the built program on a directory that a node has written.

#include <csignal>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

namespace fs = std::filesystem;

struct Said {
  int code;
  std::string out, err;
};

Said wal(std::vector<std::string> words) {
  words.insert(words.begin(), "wal");
  NodeProcess process(std::move(words));
  const int code = process.wait();
  return {code, process.out(), process.err()};
}
Said wal(const std::string& command, const fs::path& queue, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {command, "--dir", queue.string()});
  return wal(std::move(more));
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Everything below `path`: contents, and when each was changed.
std::map<std::string, std::string> state_of(const fs::path& path) {
  std::map<std::string, std::string> all;
  const auto when = [](const fs::path& of) {
    return std::to_string(fs::last_write_time(of).time_since_epoch().count());
  };
  all["."] = when(path);
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    std::ostringstream bytes;
    if (entry.is_regular_file()) bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    all[entry.path().lexically_relative(path).string()] = when(entry.path()) + " " + bytes.str();
  }
  return all;
}

std::string vote(int number) {
  return R"({"Vote":{"validator":"v)" + std::to_string(number) + R"(","block_hash":"0x)" + std::string(64, 'a') +
         R"(","signature":"0x0102"}})";
}

NodeProcess start(const fs::path& data, unsigned offset) {
  return NodeProcess(
      {"--validator", "--name", "alice", "--port-offset", std::to_string(offset), "--data-dir", data.string()});
}

/// alice's queue with five votes, of which the first was popped; the node has stopped.
class Wal : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto offset = free_port_offset(1);
    auto node = start(data_.path(), offset);
    ASSERT_TRUE(node.says("ready on port")) << node.err();
    HttpClient client(static_cast<std::uint16_t>(9944 + offset));
    for (int i = 1; i <= 5; ++i) {
      ASSERT_EQ(client.call(rpc("qssh_submitMessage", vote(i))).at("result").at("message_id"), i);
    }
    ASSERT_EQ(client.call(rpc("qssh_popMessage")).at("result").at("message_id"), 1);
    ASSERT_EQ(node.stop(), 0) << node.err();
  }
  /// A byte of the first vote that is still there becomes another.
  void damage() const {
    const auto segment = queue() / "00000001.wal";
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    const auto at = bytes.str().find("v2");
    EXPECT_NE(at, std::string::npos);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('w');
  }

  fs::path queue() const { return data_.path() / "alice" / "queue"; }

  TempDir data_;
};

TEST_F(Wal, DumpVerifyAndExportLeaveTheDirectoryAsItWas) {
  const auto before = state_of(data_.path());
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"dump"}, {"dump", "--output", "json"}, {"verify"}, {"export", "--ndjson"}}) {
    auto all = words;
    all.insert(all.end(), {"--data-dir", data_.path().string(), "--name", "alice"});
    const auto said = wal(all);
    EXPECT_EQ(said.code, 0) << words[0] << ": " << said.err;
    EXPECT_EQ(said.err, "");
    EXPECT_NE(said.out, "");
    EXPECT_TRUE(state_of(data_.path()) == before) << words[0] << " changed the directory";
  }
}

TEST_F(Wal, DumpNamesEveryRecord) {
  const auto text = wal("dump", queue());
  for (const char* part : {"file=00000001.wal type=header", "type=put", "kind=Vote", "type=take", "file=identity"}) {
    EXPECT_TRUE(contains(text.out, part)) << part << " is not in\n" << text.out;
  }
  const auto json = wal("dump", queue(), {"--output=json"});
  std::size_t puts = 0;
  for (const auto& line : lines_of(json.out)) puts += boost::json::parse(line).at("type") == "put";
  EXPECT_EQ(puts, 5U);
}

/// As its help says: no file is passed over.
TEST_F(Wal, DumpNamesEveryFileAndWhatItIs) {
  const std::pair<const char*, const char*> others[] = {{"00000007.wal.removing", "being removed"},
                                                        {"00000008.wal.new", "being made"},
                                                        {"00000001.wal.4096.torn", "a torn tail that a start cut off"},
                                                        {"00000002.wal.damaged.2", "set aside by a repair"},
                                                        {"00000003.wal.unknown", "set aside: not part of this log"},
                                                        {"notes.new", "not this queue's"}};
  for (const auto& [name, what] : others) std::ofstream(queue() / name) << "xyz";
  const auto text = wal("dump", queue());
  EXPECT_EQ(text.code, 0) << text.err;
  for (const auto& [name, what] : others) {
    const auto line = "file=" + std::string(name) + " type=other bytes=3 what=\"" + what + "\"\n";
    EXPECT_TRUE(contains(text.out, line)) << line << " is not in\n" << text.out;
  }
  for (const auto& entry : fs::directory_iterator(queue()))
    EXPECT_TRUE(contains(text.out, "file=" + entry.path().filename().string() + " ")) << entry.path();
}

TEST_F(Wal, VerifyCountsWhatIsThere) {
  const auto said = wal("verify", queue());
  EXPECT_EQ(said.code, 0);
  EXPECT_TRUE(contains(said.out, "messages 4, dead letters 0")) << said.out;
  EXPECT_TRUE(said.out.ends_with("\nsound\n")) << said.out;
}

TEST_F(Wal, ADamagedSegmentIsNamedThenRepairedAndTheNodeStarts) {
  damage();
  const auto before = state_of(data_.path());
  const auto verify = wal("verify", queue());
  EXPECT_EQ(verify.code, 1);
  EXPECT_TRUE(contains(verify.out, "damaged: ")) << verify.out;
  EXPECT_TRUE(contains(verify.out, "would be lost: 00000001.wal, offset ")) << verify.out;
  EXPECT_TRUE(contains(verify.out, "wal repair")) << verify.out;
  EXPECT_EQ(wal("export", queue()).code, 1) << "half a log is no export";
  EXPECT_TRUE(state_of(data_.path()) == before) << "a look changed the directory";
  {
    auto node = start(data_.path(), free_port_offset(1));
    EXPECT_EQ(node.wait(), 1);
    EXPECT_TRUE(contains(node.err(), "00000001.wal")) << node.err();
  }

  const auto repair = wal("repair", queue());
  EXPECT_EQ(repair.code, 0) << repair.out << repair.err;
  EXPECT_TRUE(contains(repair.out, "\nlost: 00000001.wal, offset ")) << repair.out;
  EXPECT_TRUE(contains(repair.out, "kept aside: 00000001.wal.damaged")) << repair.out;
  EXPECT_TRUE(contains(repair.out, "repaired: the queue opens normally")) << repair.out;
  EXPECT_TRUE(fs::exists(queue() / "00000001.wal.damaged"));
  EXPECT_TRUE(wal("verify", queue()).out.ends_with("\nsound\n"));
  const auto offset = free_port_offset(1);
  auto node = start(data_.path(), offset);
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  HttpClient client(static_cast<std::uint16_t>(9944 + offset));
  EXPECT_GE(client.call(rpc("qssh_getQueueDepth")).at("result").as_int64(), 3);
}

TEST_F(Wal, WhatAStartMendsIsSaidOnce) {
  fs::remove(queue() / "mark");
  auto node = start(data_.path(), free_port_offset(1));
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  EXPECT_EQ(node.stop(), 0);
  const auto first = node.err().find("mark: missing");
  ASSERT_NE(first, std::string::npos) << node.err();
  EXPECT_EQ(node.err().find("mark: missing", first + 1), std::string::npos) << node.err();
}

TEST_F(Wal, ACreationThatWasCutOffIsSoundAndAStartMakesTheQueue) {
  const auto half = data_.path() / "bob" / "queue";
  fs::create_directories(half);
  fs::copy_file(queue() / "00000001.wal", half / "00000001.wal");
  fs::resize_file(half / "00000001.wal", 4096);
  fs::resize_file(half / "00000001.wal", 4U << 20);
  for (const char* command : {"verify", "repair"}) {
    const auto said = wal(command, half);
    EXPECT_EQ(said.code, 0) << command << said.err;
    EXPECT_TRUE(contains(said.out, "a queue whose creation was cut off")) << command << said.out;
  }
  EXPECT_TRUE(contains(wal("export", half).err, "its creation was cut off")) << "nothing to export is no empty backup";
  const auto offset = free_port_offset(1);
  NodeProcess node(
      {"--validator", "--name", "bob", "--port-offset", std::to_string(offset), "--data-dir", data_.path().string()});
  EXPECT_TRUE(node.says("ready on port")) << node.err();
}

TEST_F(Wal, RepairOfASoundQueueChangesNothing) {
  const auto said = wal("repair", queue());
  EXPECT_EQ(said.code, 0);
  EXPECT_TRUE(said.out.ends_with("sound: nothing was changed\n")) << said.out;
}

TEST_F(Wal, WhatIsExportedIsImportedOnceOrRenumbered) {
  const auto exported = wal("export", queue());
  ASSERT_EQ(lines_of(exported.out).size(), 4U);
  EXPECT_EQ(boost::json::parse(lines_of(exported.out)[0]).at("message").at("Vote").at("validator"), "v2");
  const auto file = data_.path() / "votes.ndjson";
  std::ofstream(file) << exported.out;

  const auto elsewhere = data_.path() / "other" / "queue";
  const auto fresh = wal("import", elsewhere, {file.string()});
  EXPECT_EQ(fresh.code, 0) << fresh.err;
  EXPECT_EQ(fresh.out, "imported 4 messages into a new queue, " + elsewhere.string() + "\n");
  EXPECT_EQ(wal("export", elsewhere).out, exported.out);

  const auto before = wal("export", elsewhere).out;
  const auto again = wal("import", elsewhere, {file.string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out,
            "imported 0 messages into " + elsewhere.string() + "\npassed over 4 messages that are there already\n");
  const auto other = data_.path() / "other.ndjson";
  std::ofstream(other) << std::regex_replace(exported.out, std::regex("\"v[0-9]\""), "\"w\"");
  const auto refused = wal("import", elsewhere, {other.string()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(contains(refused.err, "line 1: message_id")) << refused.err;
  EXPECT_TRUE(contains(refused.err, "--renumber")) << refused.err;
  EXPECT_EQ(wal("export", elsewhere).out, before) << "a refused import stored something";
  const auto renumbered = wal("import", elsewhere, {file.string(), "--renumber"});
  EXPECT_EQ(renumbered.code, 0) << renumbered.err;
  EXPECT_EQ(lines_of(wal("export", elsewhere).out).size(), 8U);
}

TEST_F(Wal, WhatAnImportMakesIsTheOwnersAloneAsWithANode) {
  const auto permissions = [](const fs::path& of) { return fs::status(of).permissions(); };
  const auto file = data_.path() / "all.ndjson";
  std::ofstream(file) << wal("export", queue()).out;
  EXPECT_EQ(permissions(data_.path() / "alice"), fs::perms::owner_all) << "made by the node";
  ASSERT_EQ(wal({"import", file.string(), "--data-dir", data_.path().string(), "--name", "bob"}).code, 0);
  EXPECT_EQ(permissions(data_.path() / "bob"), fs::perms::owner_all);
  ASSERT_EQ(wal("import", data_.path() / "carol" / "queue", {file.string()}).code, 0);
  EXPECT_EQ(permissions(data_.path() / "carol"), fs::perms::owner_all);
  // Where it was told a place of its own in a directory that was there, that one is not its to close.
  const auto shared = data_.path() / "shared";
  fs::create_directory(shared);
  const auto before = permissions(shared);
  for (const char* slash : {"", "/"}) {
    const auto there = shared / (slash[0] == 0 ? "one" : "two");
    ASSERT_EQ(wal("import", there.string() + slash, {file.string()}).code, 0);
    EXPECT_EQ(permissions(there), fs::perms::owner_all);
    EXPECT_EQ(permissions(shared), before);
  }
}

TEST_F(Wal, AnImportWithOneBadLineStoresNone) {
  const auto file = data_.path() / "bad.ndjson";
  auto lines = wal("export", queue()).out;
  std::ofstream(file) << lines << "{\"message_id\":99}\n";
  const auto elsewhere = data_.path() / "other" / "queue";
  const auto said = wal("import", elsewhere, {file.string()});
  EXPECT_EQ(said.code, 1);
  EXPECT_TRUE(contains(said.err, "line 5: ")) << said.err;
  EXPECT_EQ(wal("import", elsewhere, {(data_.path() / "none.ndjson").string()}).code, 1);
  const auto there = wal("export", elsewhere);
  EXPECT_TRUE(there.code != 0 || there.out.empty()) << there.out;
}

std::string large_line(std::uint64_t id, std::size_t bytes) {
  return R"({"message":{"Gossip":{"topic":"t","data":"0x)" + std::string(2 * bytes, 'a') + R"("}},"message_id":)" +
         std::to_string(id) + R"(,"created_at":1})" + "\n";
}

TEST_F(Wal, AnImportKeepsToTheBoundsOfTheNodeWhereverTheyComeFrom) {
  const auto file = data_.path() / "large.ndjson", config = data_.path() / "node.toml";
  std::ofstream(file) << large_line(1, 10) << large_line(2, 1'500'000);
  std::ofstream(config) << "[queue]\nmax-message-bytes = \"2MiB\"\nsegment-bytes-min = \"8MiB\"\n";
  const auto elsewhere = data_.path() / "other" / "queue";
  const auto refused = wal("import", elsewhere, {file.string()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(contains(refused.err,
                       "line 2: message: a Gossip of 1500010 bytes; at most 1048576 are allowed: raise "
                       "max-message-bytes of [queue] in the node's configuration"))
      << refused.err;
  EXPECT_NE(wal("export", elsewhere).code, 0) << "something was stored";

  const auto by_file = wal("import", elsewhere, {file.string(), "--config", config.string()});
  EXPECT_EQ(by_file.code, 0) << by_file.err;
  const auto by_flag = wal("import", data_.path() / "flag" / "queue",
                           {file.string(), "--queue-max-message-bytes", "2MiB", "--queue-segment-bytes-min=8MiB"});
  EXPECT_EQ(by_flag.code, 0) << by_flag.err;
  NodeProcess by_variable(
      {"wal", "import", file.string(), "--data-dir", (data_.path() / "variable").string(), "--name", "alice"},
      {.environment = {{"QUANTUMHARMONY_CONFIG", config.string()}}});
  EXPECT_EQ(by_variable.wait(), 0) << by_variable.err();

  // A smaller node refuses what would be over its bounds.
  const auto smaller = wal("import", data_.path() / "small" / "queue", {file.string(), "--queue-max-message-bytes=5"});
  EXPECT_TRUE(contains(smaller.err, "line 1: message: ")) << smaller.err;
}

// They were lowered behind the import: the node goes on with what is there.
TEST_F(Wal, ANodeStartsOnAMessageOverItsBounds) {
  const auto file = data_.path() / "large.ndjson", top = data_.path() / "lowered";
  std::ofstream(file) << large_line(1, 1'000'000);
  const auto done = wal("import", top / "alice" / "queue", {file.string()});
  ASSERT_EQ(done.code, 0) << done.err;
  for (int round = 0; round < 3; ++round) {
    const auto offset = free_port_offset(1);
    NodeProcess node({"--validator", "--name", "alice", "--port-offset", std::to_string(offset), "--data-dir",
                      top.string(), "--queue-max-message-bytes=16KiB", "--queue-max-tx-bytes=16KiB",
                      "--queue-segment-bytes-min=64KiB", "--queue-segment-bytes-max=64KiB"});
    ASSERT_TRUE(node.says("alice: ready on port")) << node.err();
    HttpClient client(static_cast<std::uint16_t>(9944 + offset));
    for (int i = 0; i < 200; ++i) {  // the log turns over, and the message is carried
      ASSERT_TRUE(client.call(rpc("qssh_submitMessage", vote(i))).as_object().contains("result")) << node.err();
      ASSERT_TRUE(client.call(rpc("qssh_popMessage")).as_object().contains("result")) << node.err();
    }
    EXPECT_EQ(client.call(rpc("qssh_peek", R"({"count":10})")).at("result").as_array().size(), 1U);
    ASSERT_EQ(node.stop(), 0) << node.err();
  }
}

TEST_F(Wal, ARunningNodeMayBeLookedAtButNotRepaired) {
  auto node = start(data_.path(), free_port_offset(1));
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  EXPECT_EQ(wal("verify", queue()).code, 0);
  EXPECT_EQ(wal("dump", queue()).code, 0);
  for (const char* command : {"repair", "import"}) {
    const auto said =
        command == std::string_view("repair") ? wal("repair", queue()) : wal("import", queue(), {"/dev/null"});
    EXPECT_EQ(said.code, 1) << command;
    EXPECT_TRUE(contains(said.err, "is in use by pid " + std::to_string(node.pid()))) << said.err;
    EXPECT_TRUE(contains(said.err, "stop it first")) << said.err;
  }
  EXPECT_EQ(node.stop(), 0);
}

TEST(WalUsage, MistakesAreNamedAndEndWithTwo) {
  const std::pair<std::vector<std::string>, std::string_view> mistakes[] = {
      {{}, "which command?"},
      {{"dmup"}, "dmup: unknown command"},
      {{"dump", "--ouptut", "json"}, "--ouptut: unknown flag"},
      {{"dump", "--output", "xml"}, "expected text or json"},
      {{"import"}, "which FILE?"},
      {{"verify", "--dir"}, "--dir: needs a value"},
      {{"verify", "--queue-max-depth=5"}, "--queue-max-depth: is for import"},
      {{"import", "x", "--dir", "/x", "--queue-max-message-bytes=64MiB"}, "must be at least"},
      {{"import", "/dev/null", "--dir", "/x", "--config", "/nonexistent.toml"}, "/nonexistent.toml"},
      {{"verify", "--dir", "/x", "--name", "alice"}, "not together"},
      {{"import", "/dev/null", "--data-dir", "/nonexistent", "--name", "../evil"},
       "'../evil' is no name for a validator"},
      {{"import", "/dev/null", "--data-dir", "/nonexistent", "--name", "aggregate"}, "and is not aggregate"},
      {{"verify", "--data-dir", "/nonexistent", "--name", "a/b"}, "'a/b' is no name"},
      {{"verify", "--data-dir", "/nonexistent"}, "no validator has a queue in /nonexistent"}};
  for (const auto& [words, part] : mistakes) {
    const auto said = wal(words);
    EXPECT_EQ(said.code, 2) << part;
    EXPECT_TRUE(contains(said.err, part)) << said.err;
    EXPECT_TRUE(contains(said.err, "wal --help") || contains(said.err, "--data-dir")) << said.err;
  }
}

TEST(WalUsage, HelpSaysWhatAnExportDoesNotCarry) {
  EXPECT_TRUE(contains(wal({"--help"}).out, "idempotency keys are not exported"));
}

TEST(WalUsage, AnUnknownVariableIsNotPassedOver) {
  NodeProcess process({"wal", "verify"}, {.environment = {{"QUANTUMHARMONY_DATADIR", "/srv/other"}}});
  EXPECT_EQ(process.wait(), 2);
  EXPECT_TRUE(contains(process.err(), "did you mean QUANTUMHARMONY_DATA_DIR?")) << process.err();
}

TEST(WalUsage, ADirectoryThatIsNotThereOrIsNoQueueEndsWithOne) {
  const auto missing = wal("verify", "/nonexistent/queue");
  EXPECT_EQ(missing.code, 1);
  EXPECT_TRUE(contains(missing.err, "/nonexistent/queue: there is no such directory")) << missing.err;
  const TempDir empty;
  for (const char* command : {"dump", "verify", "export", "repair"}) {
    const auto said = wal(command, empty.path());
    EXPECT_EQ(said.code, 1) << command << ": " << said.out;
    EXPECT_TRUE(contains(said.err, "there is no queue in this directory")) << command << ": " << said.err;
  }
}

}  // namespace
}  // namespace qh::test
