// One validator's disk hangs while it starts, runs or stops: the others and the node go on, and the end is bounded.
#include <csignal>
#include <fstream>

#include "dev_node_calls.h"

#ifndef __has_feature  // GCC 12 and 13
#define __has_feature(x) 0
#endif

// A sanitizer's runtime and a library that comes before it do not go together.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

namespace qh::test {
namespace {

namespace json = boost::json;

/// alice, bob and charlie; bob's disk hangs when it is told to.
class HungDisk : public ::testing::Test {
 protected:
  HungDisk() : offset_(free_port_offset()) {}

  void hang() const {
    std::filesystem::remove(mark().string() + ".waits");
    std::ofstream(mark()) << "hangs\n";
  }
  bool somebody_waits() const {
    return becomes([&] { return std::filesystem::exists(mark().string() + ".waits"); });
  }
  void go_on() const { std::filesystem::remove(mark()); }
  std::filesystem::path data() const { return directory_.path() / "data"; }

  void launch() {
    NodeProcess::Options how;
    how.environment = {{"LD_PRELOAD", std::string(std::getenv("QH_BIN_DIR")) + "/../tests/libqh_hung_disk.so"},
                       {"QH_HUNG_MARK", mark().string()},
                       {"QH_HUNG_PATH", "/data/bob"}};
    node_.emplace(std::vector<std::string>{"--dev", "--port-offset", std::to_string(offset_), "--data-dir",
                                           data().string(), "--queue-stop-within", "1s"},
                  how);
  }
  /// The node starts while bob cannot: a client of alice's.
  HttpClient launch_without_bob() {
    hang();
    launch();
    EXPECT_TRUE(becomes([&] { return HttpClient(port()).connected(); })) << node_->err();
    return HttpClient(port());
  }
  HttpClient launch_ready() {
    launch();
    EXPECT_TRUE(node_->says("ready on port")) << node_->err();
    return HttpClient(port());
  }
  /// A write of bob's that does not end: on its own thread while its disk is quick, or on one for the disk, where a
  /// write was slow before.
  HttpClient stuck_write(bool on_a_thread_of_the_disk) {
    HttpClient bob(port(1));
    if (on_a_thread_of_the_disk) {
      hang();
      EXPECT_TRUE(bob.send(post(durable_gossip())));
      EXPECT_TRUE(somebody_waits());
      go_on();
      EXPECT_TRUE(bob.reply());
    }
    hang();
    EXPECT_TRUE(bob.send(post(durable_gossip())));
    EXPECT_TRUE(somebody_waits());
    return bob;
  }

  std::uint16_t port(unsigned validator = 0) const { return static_cast<std::uint16_t>(9944 + offset_ + validator); }
  std::uint16_t web_port() const { return static_cast<std::uint16_t>(8080 + offset_); }
  NodeProcess& node() { return *node_; }

 private:
  std::filesystem::path mark() const { return directory_.path() / "hangs"; }

  TempDir directory_;
  unsigned offset_;
  std::optional<NodeProcess> node_;
};

TEST_F(HungDisk, AValidatorMayBeStoppedWhileItStarts) {
  auto alice = launch_without_bob();
  EXPECT_EQ(alice.call(rpc("node_stopValidator", of_validator("bob"))).at("result").at("state"), "stopping");
  go_on();
  EXPECT_TRUE(node().says("charlie: ready on port")) << node().err();
  EXPECT_TRUE(gets(alice, "bob", "stopped"));
  EXPECT_EQ(fetch(web_port(), "/startupz").status, 200);
  alice.call(rpc("node_startValidator", of_validator("bob")));
  EXPECT_TRUE(gets(alice, "bob", "running"));
  EXPECT_TRUE(node().says("bob: ready on port"));
  EXPECT_EQ(node().stop(), 0) << node().err();
}

TEST_F(HungDisk, OneThatIsAddedMeanwhileAndFailsEndsNobodyAndCanBeDropped) {
  std::filesystem::create_directories(data());
  std::ofstream(data() / "dave") << "no directory\n";
  auto alice = launch_without_bob();
  EXPECT_EQ(alice.call(rpc("node_addValidator", of_validator("dave"))).at("result").at("state"), "starting");
  EXPECT_TRUE(gets(alice, "dave", "failed"));
  EXPECT_NE(json::serialize(listed(alice, "dave").at("error")).find("Not a directory"), std::string::npos);
  EXPECT_TRUE(node().says("dave: cannot start: ")) << "the log says why";
  go_on();
  ASSERT_TRUE(node().says("charlie: ready on port")) << "only those of the configuration end a start: " << node().err();
  EXPECT_TRUE(gets(alice, "bob", "running"));
  EXPECT_NE(fetch(web_port(), "/readyz").body.find("[-]validator-dave failed: it is failed"), std::string::npos);
  EXPECT_EQ(fetch(web_port(), "/startupz").status, 200);
  EXPECT_EQ(alice.call(rpc("node_stopValidator", of_validator("dave"))).at("result").at("state"), "stopped");
  EXPECT_TRUE(listed(alice, "dave").is_null()) << "it is forgotten";
  EXPECT_EQ(fetch(web_port(), "/readyz").status, 200);
  EXPECT_EQ(node().stop(), 0);
}

TEST_F(HungDisk, AStartThatStandsStillIsNotAlive) {
  auto alice = launch_without_bob();
  EXPECT_EQ(fetch(web_port(), "/livez").status, 200);
  HttpReply last;
  EXPECT_TRUE(becomes([&] {
    last = fetch(web_port(), "/livez");
    return last.status == 503;
  }));
  EXPECT_NE(last.body.find("[-]loop-bob failed: it is starting, and its loop has not turned for 1"), std::string::npos)
      << last.body;
}

class HungStop : public HungDisk, public ::testing::WithParamInterface<bool> {};

TEST_P(HungStop, LeavesTheOthersAliveAndIsBounded) {
  auto alice = launch_ready();
  const auto bob = stuck_write(GetParam());
  EXPECT_EQ(alice.call(rpc("node_stopValidator", of_validator("bob"))).at("result").at("state"), "stopping");
  EXPECT_TRUE(gets(alice, "bob", "failed"));
  EXPECT_NE(json::serialize(listed(alice, "bob").at("error")).find("its disk does not answer"), std::string::npos);
  EXPECT_TRUE(node().says("bob: its disk does not answer")) << node().err();
  EXPECT_EQ(fetch(web_port(), "/livez").status, 200);
  EXPECT_EQ(fetch(web_port(), "/readyz").status, 503);
  for (const char* method : {"node_startValidator", "node_stopValidator"})
    EXPECT_EQ(alice.call(rpc(method, of_validator("bob"))).at("error").at("code"), -32011) << method;
  EXPECT_TRUE(alice.call(durable_gossip()).as_object().contains("result"));
  EXPECT_EQ(node().stop(), 5);
  EXPECT_TRUE(node().says("the stop took longer than its bound, by bob; what was acknowledged")) << node().err();
}

TEST_P(HungStop, OfTheWholeNodeIsBoundedAndNamesTheValidator) {
  (void)launch_ready();
  const auto bob = stuck_write(GetParam());
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(node().stop(), 5);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(6)) << "1 s, and some for the rest";
  EXPECT_TRUE(node().says("the stop took longer than its bound, by bob; what was acknowledged")) << node().err();
}

TEST_P(HungStop, ASecondSignalEndsItAtOnce) {
  (void)launch_ready();
  const auto bob = stuck_write(GetParam());
  node().send_signal(SIGTERM);
  ASSERT_TRUE(node().says("stopping: SIGTERM"));
  EXPECT_EQ(node().repeat_until_it_ends(SIGTERM), 128 + SIGTERM);
  EXPECT_TRUE(node().says("ended at once by SIGTERM"));
}

TEST_P(HungStop, EndsByItselfWhenTheDiskGoesOnAndIsForgottenWhenItRunsAgain) {
  auto alice = launch_ready();
  const auto bob = stuck_write(GetParam());
  alice.call(rpc("node_stopValidator", of_validator("bob")));
  ASSERT_TRUE(gets(alice, "bob", "failed"));
  go_on();
  ASSERT_TRUE(gets(alice, "bob", "stopped")) << node().err() << node().threads();
  alice.call(rpc("node_startValidator", of_validator("bob")));
  ASSERT_TRUE(gets(alice, "bob", "running")) << node().err() << node().threads();
  EXPECT_TRUE(listed(alice, "bob").at("error").is_null());
  EXPECT_EQ(fetch(web_port(), "/readyz").status, 200);
  EXPECT_EQ(node().stop(), 0) << "the end of this stop is not that of the one before: " << node().err();
}

INSTANTIATE_TEST_SUITE_P(, HungStop, ::testing::Bool(),
                         [](const auto& where) { return where.param ? "OnAThreadOfTheDisk" : "OnItsOwnThread"; });

TEST_F(HungDisk, AStopThatWasNotWellIsSaid) {
  auto alice = launch_ready();
  const auto bob = stuck_write(true);
  alice.call(rpc("node_stopValidator", of_validator("bob")));
  ASSERT_TRUE(node().says("bob: its disk does not answer"));
  go_on();
  ASSERT_TRUE(gets(alice, "bob", "stopped"));
  EXPECT_TRUE(listed(alice, "bob").at("error").is_string());
  EXPECT_TRUE(node().says("bob: stopped, as it was asked to, but ")) << node().err();
}

}  // namespace
}  // namespace qh::test
#endif
