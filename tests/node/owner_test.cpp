// Root works on the data of a service that runs as another user, who can go on with it.

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include <gtest/gtest.h>

#include "node_process.h"

namespace qh::test {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kServiceUser = 61'234;

NodeProcess::Options as_the_service() {
  return {.environment = {}, .wrapper = {"/usr/bin/setpriv", "--reuid=61234", "--regid=61234", "--clear-groups"}};
}

TEST(Owner, WhatRootImportsOrRepairsTheServiceCanOpen) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can work for another user";
  NodeProcess version({"--version"}, as_the_service());
  if (version.wait() != 0) GTEST_SKIP() << "the program stands where only root can run it";
  TempDir data;
  ASSERT_EQ(::chown(data.path().c_str(), kServiceUser, kServiceUser), 0);
  TempDir place;
  const auto lines = place.path() / "lines.ndjson";
  std::ofstream(lines) << R"({"message":{"Gossip":{"topic":"t","data":"0x01"}},"message_id":1,"created_at":1})"
                       << "\n";
  for (const bool damaged : {false, true}) {
    if (damaged) {
      std::fstream(data.path() / "alice/queue/identity", std::ios::in | std::ios::out).write("x", 1);
      NodeProcess repair({"wal", "repair", "--data-dir", data.path().string()});
      EXPECT_EQ(repair.wait(), 0) << repair.err();
      EXPECT_NE(repair.out().find("repaired: "), std::string::npos) << repair.out();
    } else {
      NodeProcess import({"wal", "import", lines.string(), "--data-dir", data.path().string(), "--name", "alice"});
      EXPECT_EQ(import.wait(), 0) << import.err();
    }
    for (const auto& entry : fs::recursive_directory_iterator(data.path())) {
      struct stat status {};
      ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
      EXPECT_EQ(status.st_uid, kServiceUser) << entry.path();
      EXPECT_EQ(status.st_gid, kServiceUser) << entry.path();
    }
    NodeProcess node({"--validator", "--name", "alice", "--data-dir", data.path().string(), "--port-offset",
                      std::to_string(free_port_offset(1))},
                     as_the_service());
    EXPECT_TRUE(node.says("ready on port")) << node.err();
    EXPECT_EQ(node.stop(), 0) << node.err();
  }
}

}  // namespace
}  // namespace qh::test
