// Validators that fail, are damaged, or are the last one; and what the service manager is told of them.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <fstream>

#include "dev_node_calls.h"

namespace qh::test {
namespace {

namespace json = boost::json;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

TEST(Supervisor, DamageThatARestartFindsIsFinalAndNamesTheRepair) {
  TempDir data;
  DevNode node({"--allow-faults"}, data.path());
  HttpClient alice(node.port());
  HttpClient bob(node.port(1));
  bob.call(durable_gossip());
  const auto queue = data.path() / "bob" / "queue";
  {
    std::fstream bytes(queue / "00000001.wal", std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(20);
    bytes.put('\xff');
  }
  bob.call(rpc("node_injectFault", R"({"fault":"error"})"));
  ASSERT_TRUE(gets(alice, "bob", "failed"));
  const auto repair = "wal repair --dir " + queue.string();
  EXPECT_TRUE(contains(json::serialize(listed(alice, "bob").at("error")), repair));
  EXPECT_TRUE(node.process().says("bob: cannot start: ")) << node.process().err();
  EXPECT_TRUE(contains(fetch(node.web_port(), "/readyz").body, repair));
  NodeProcess salvage({"wal", "repair", "--dir", queue.string()});
  EXPECT_EQ(salvage.wait(), 0) << salvage.out() << salvage.err();
  alice.call(rpc("node_startValidator", of_validator("bob")));
  ASSERT_TRUE(gets(alice, "bob", "running"));
  EXPECT_TRUE(node.process().says("bob: runs again, ready on port")) << node.process().err();
  EXPECT_TRUE(node.process().says(": 1 message recovered in ")) << node.process().err();
  EXPECT_EQ(node.process().stop(), 0);
}

TEST(Supervisor, AStopThatAStandingLoopHoldsUpIsNotBlamedOnTheDisk) {
  DevNode node({"--allow-faults", "--queue-stop-within", "100ms"});
  HttpClient alice(node.port()), bob(node.port(1));
  bob.call(rpc("node_injectFault", R"({"fault":"stall","duration_ms":60000})"));
  alice.call(rpc("node_stopValidator", of_validator("bob")));
  ASSERT_TRUE(gets(alice, "bob", "failed"));
  EXPECT_TRUE(contains(json::serialize(listed(alice, "bob").at("error")), "its loop has not turned for "))
      << json::serialize(listed(alice, "bob"));
  EXPECT_TRUE(node.process().says("bob: its loop has not turned for ")) << node.process().err();
  EXPECT_EQ(node.process().stop(), 5);
  EXPECT_FALSE(contains(node.process().err(), "disk")) << node.process().err();
}

TEST(Supervisor, TheLastOneThatRunsIsNotStopped) {
  DevNode node;
  HttpClient alice(node.port());
  for (const char* name : {"bob", "charlie"}) {
    alice.call(rpc("node_stopValidator", of_validator(name)));
    ASSERT_TRUE(gets(alice, name, "stopped"));
  }
  const auto refused = alice.call(rpc("node_stopValidator", of_validator("alice")));
  EXPECT_EQ(refused.at("error").at("code"), -32011) << json::serialize(refused);
  EXPECT_TRUE(contains(json::serialize(refused), "alice is the last validator that runs")) << json::serialize(refused);
  alice.call(rpc("node_startValidator", of_validator("bob")));
  EXPECT_TRUE(gets(alice, "bob", "running"));
  EXPECT_EQ(node.process().stop(), 0);
}

/// A socket as the service manager has it.
class Manager {
 public:
  Manager() : name_("qh-status-" + std::to_string(::getpid())), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    name_.copy(address_.sun_path + 1, name_.size());  // in no directory
    address_.sun_family = AF_UNIX;
    EXPECT_EQ(::bind(fd_, address(), address_bytes()), 0);
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Manager() { ::close(fd_); }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  NodeProcess::Options options() const {
    return {.environment = {{"NOTIFY_SOCKET", "@" + name_}, {"WATCHDOG_USEC", "100000"}}};
  }
  /// Until it takes nothing more.
  void fill() const {
    const int from = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    while (::sendto(from, "x", 1, MSG_DONTWAIT, address(), address_bytes()) == 1) {
    }
    ::close(from);
  }
  bool hears(std::string_view what) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string text;
    while (!contains(text, what)) {
      if (std::chrono::steady_clock::now() > deadline) return false;  // the watchdog is fed all the time
      text.resize(500);
      const auto got = ::recv(fd_, text.data(), text.size(), 0);
      if (got <= 0) return false;
      text.resize(static_cast<std::size_t>(got));
    }
    return true;
  }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t address_bytes() const { return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size()); }

  std::string name_;
  int fd_;
  sockaddr_un address_{};
};

TEST(Manager, HearsWhichValidatorsAreReadyAsTheyComeAndGo) {
  const Manager manager;
  const TempDir data;
  const auto offset = free_port_offset();
  NodeProcess node({"--dev", "--data-dir", data.path().string(), "--port-offset", std::to_string(offset)},
                   manager.options());
  EXPECT_TRUE(manager.hears("READY=1\nSTATUS=3 validators ready"));
  HttpClient alice(static_cast<std::uint16_t>(9944 + offset));
  alice.call(rpc("node_stopValidator", of_validator("bob")));
  EXPECT_TRUE(manager.hears("STATUS=2 of 3 validators ready: bob is stopped"));
  alice.call(rpc("node_startValidator", of_validator("bob")));
  EXPECT_TRUE(manager.hears("STATUS=3 validators ready"));
  EXPECT_EQ(node.stop(), 0);
}

TEST(Manager, ThatDoesNotReadHoldsNobodyUpAndHearsLater) {
  const Manager manager;
  manager.fill();
  const TempDir data;
  const auto offset = free_port_offset();
  NodeProcess node({"--dev", "--data-dir", data.path().string(), "--port-offset", std::to_string(offset)},
                   manager.options());
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  HttpClient alice(static_cast<std::uint16_t>(9944 + offset));
  for (int i = 0; i < 3; ++i) {  // the main loop answers
    alice.call(rpc("node_stopValidator", of_validator("bob")));
    ASSERT_TRUE(gets(alice, "bob", "stopped"));
    alice.call(rpc("node_startValidator", of_validator("bob")));
    ASSERT_TRUE(gets(alice, "bob", "running"));
  }
  EXPECT_TRUE(manager.hears("READY=1\nSTATUS=3 validators ready"));
  EXPECT_EQ(node.stop(), 0);
}

}  // namespace
}  // namespace qh::test
