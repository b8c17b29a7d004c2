// Starting, stopping, and what is said when it does not work.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <list>
#include <utility>

#include <gtest/gtest.h>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

/// Runs to its end.
struct Ended {
  explicit Ended(std::vector<std::string> arguments, const NodeProcess::Options& options = {})
      : process(std::move(arguments), options), code(process.wait()) {}
  NodeProcess process;
  int code;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

TEST(Start, VersionAndHelp) {
  const Ended version({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_TRUE(version.process.out().starts_with("quantumharmony-node ")) << version.process.out();
  const Ended help({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag :
       {"--dev", "--validators", "--validator", "--name", "--qssh-queue-port", "--port-offset", "--data-dir"}) {
    EXPECT_TRUE(contains(help.process.out(), flag)) << flag;
  }
}

TEST(Start, UsageErrorsEndWithTwo) {
  const Ended unknown({"--prot-offset", "1"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_TRUE(contains(unknown.process.err(), "did you mean --port-offset?")) << unknown.process.err();
  const Ended config({"--confg", "node.toml"});
  EXPECT_TRUE(contains(config.process.err(), "did you mean --config?")) << config.process.err();
  EXPECT_EQ(Ended({"--metrics-port", "65536"}).code, 2);
  EXPECT_EQ(Ended({"--queue-mode", "validator"}).code, 2);
  EXPECT_EQ(Ended({"--rpc-token-file", "/nonexistent/tokens", "--data-dir", "/nonexistent"}).code, 2);
}

TEST(Start, ConfigIsCheckedAndShownWithItsOrigins) {
  TempDir directory;
  const auto file = directory.path() / "node.toml";
  std::ofstream(file) << "data-dir = \"/srv/qh\"\n[queue]\nmax-depth = 10\n";
  const NodeProcess::Options options{
      .environment = {{"QUANTUMHARMONY_PORT_OFFSET", "5"}, {"QUANTUMHARMONY_CONFIG", file.string()}}};
  const Ended check({"config", "check"}, options);
  EXPECT_EQ(check.code, 0);
  EXPECT_EQ(check.process.out(), "ok: alice 9949 bob 9950 charlie 9951, data in /srv/qh\n");
  const Ended show({"config", "show", "--queue-fairness", "2"}, options);
  EXPECT_EQ(show.code, 0);
  EXPECT_TRUE(contains(show.process.out(), "# QUANTUMHARMONY_PORT_OFFSET\n")) << show.process.out();
  EXPECT_TRUE(contains(show.process.out(), "# " + file.string() + ":3\n"));
  EXPECT_TRUE(contains(show.process.out(), "# --queue-fairness\n"));
  std::ofstream(file) << "data_dir = \"/srv/qh\"\n";
  const Ended wrong({"config", "check"}, options);
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(contains(wrong.process.err(), ":1: unknown key data_dir (did you mean data-dir?)"))
      << wrong.process.err();
}

TEST(Start, APortInUseIsToldWithItsHolderAndTheRemedy) {
  DevNode node;
  TempDir elsewhere;
  const Ended second(
      {"--dev", "--data-dir", elsewhere.path().string(), "--port-offset", std::to_string(node.port() - 9944)});
  EXPECT_EQ(second.code, 1);
  const auto& err = second.process.err();
  EXPECT_TRUE(contains(err, "alice: cannot listen on 127.0.0.1:" + std::to_string(node.port()))) << err;
  EXPECT_TRUE(contains(err, "pid " + std::to_string(node.process().pid()) + " (quantumharmony-")) << err;
  EXPECT_TRUE(contains(err, "--port-offset")) << err;
  EXPECT_TRUE(contains(err, "charlie")) << "all of them are told";
  EXPECT_FALSE(std::filesystem::exists(elsewhere.path() / "alice")) << "no data was touched";
}

TEST(Start, ASecondProcessOnTheSameDataIsRefusedWithThePid) {
  TempDir data;
  DevNode node({}, data.path());
  const Ended second(
      {"--dev", "--data-dir", data.path().string(), "--port-offset", std::to_string(free_port_offset())});
  EXPECT_EQ(second.code, 1);
  EXPECT_TRUE(contains(second.process.err(), "is in use by pid " + std::to_string(node.process().pid())))
      << second.process.err();
  EXPECT_TRUE(contains(second.process.err(), "--data-dir")) << second.process.err();
  EXPECT_EQ(node.process().stop(), 0);
}

/// Starts three on the same data; `apart` is between their ports. How many have started, and what was said.
std::pair<int, std::string> race(unsigned apart) {
  TempDir data;
  const auto offset = free_port_offset(2 * apart + 3);
  std::list<NodeProcess> nodes;
  for (unsigned i = 0; i < 3; ++i) {
    nodes.emplace_back(std::vector<std::string>{"--data-dir", data.path().string(), "--web-port", "0", "--metrics-port",
                                                "0", "--port-offset", std::to_string(offset + i * apart)});
  }
  int ready = 0;
  std::string said;
  for (auto& node : nodes) {
    if (node.says("ready on port")) {
      ++ready;
    } else {
      EXPECT_EQ(node.wait(), 1);
      EXPECT_TRUE(contains(node.err(), "in use by ")) << node.err();
    }
    said += node.err() + "--\n";
  }
  return {ready, said};
}

// With ports of their own the data alone decides, and without them both do.
TEST(Start, OfSeveralAtTheSameMomentOneStarts) {
  for (int round = 0; round < 16; ++round) {
    const auto [ready, said] = race(round % 2 == 0 ? 10 : 0);
    ASSERT_EQ(ready, 1) << "round " << round << ":\n" << said;
  }
}

TEST(Start, RemovingTheLockByHandLetsNobodyIn) {
  TempDir data;
  DevNode node({}, data.path());
  ASSERT_TRUE(std::filesystem::remove(data.path() / "alice" / "queue" / "LOCK"));
  const Ended second({"--validator", "--name", "alice", "--data-dir", data.path().string(), "--port-offset",
                      std::to_string(free_port_offset())});
  EXPECT_EQ(second.code, 1);
  EXPECT_TRUE(contains(second.process.err(), "is in use by an unknown process (LOCK was removed while it runs)"))
      << second.process.err();
  EXPECT_EQ(node.process().stop(), 0);
}

// A durable write may run on a validator's own thread: a signal taken there could cut it short.
TEST(Start, TheThreadsThatWriteBlockTheSignalsOfTheProcess) {
  DevNode node;
  std::size_t threads = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(node.process().pid()) + "/task")) {
    std::string name, line;
    std::uint64_t blocked = 0;
    std::ifstream status(task.path() / "status");
    while (std::getline(status, line)) {
      if (line.starts_with("Name:\t")) name = line.substr(6);
      if (line.starts_with("SigBlk:\t")) blocked = std::stoull(line.substr(8), nullptr, 16);
    }
    if (name != "alice" && name != "bob" && name != "charlie" && !name.starts_with("qh-disk")) continue;
    ++threads;
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM})
      EXPECT_TRUE(blocked >> (signal - 1) & 1) << name << " takes signal " << signal;
    EXPECT_FALSE(blocked >> (SIGSEGV - 1) & 1) << name;
  }
  EXPECT_GE(threads, 9U) << "three validators, each with two threads for its disk";
  EXPECT_EQ(node.process().stop(), 0);
}

TEST(Start, DataThatCannotBeMadeIsNamedWithTheRemedy) {
  const Ended ended({"--dev", "--data-dir", "/proc/nowhere", "--port-offset", std::to_string(free_port_offset())});
  EXPECT_EQ(ended.code, 1);
  EXPECT_TRUE(contains(ended.process.err(), "/proc/nowhere/alice/queue")) << ended.process.err();
  EXPECT_TRUE(contains(ended.process.err(), "--data-dir DIR")) << ended.process.err();
}

TEST(Start, OneValidatorByNameAndPort) {
  TempDir data;
  const auto port = static_cast<std::uint16_t>(9944 + free_port_offset(1));
  NodeProcess node({"--validator", "--name", "zoe", "--qssh-queue-port", std::to_string(port), "--data-dir",
                    data.path().string(), "--log-format", "json"});
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  EXPECT_TRUE(contains(node.err(), R"("level":"info","validator":"zoe","message":"ready on port )")) << node.err();
  EXPECT_EQ(HttpClient(port).call(rpc("qssh_getValidatorName")).at("result"), "zoe");
  EXPECT_EQ(node.out(), "") << "facts go to stdout on a terminal only";
  EXPECT_EQ(node.stop(), 0);
}

TEST(Start, OnATerminalThereIsAScreen) {
  TempDir data;
  const auto offset = free_port_offset();
  NodeProcess node({"--data-dir", data.path().string(), "--port-offset", std::to_string(offset)},
                   {.environment = {{"NO_COLOR", "1"}}, .terminal = true});
  ASSERT_TRUE(node.says("Ctrl-C stops"));
  EXPECT_TRUE(contains(node.out(), "charlie    http://localhost:" + std::to_string(9946 + offset))) << node.out();
  EXPECT_TRUE(contains(node.out(), data.path().string()));
  EXPECT_FALSE(contains(node.out(), "\x1b")) << "NO_COLOR";
  EXPECT_EQ(node.err(), "");
  EXPECT_EQ(node.stop(), 0);
}

TEST(Stop, WhoDoesNotReadTheLogHoldsNobodyUp) {
  TempDir data;
  const auto offset = free_port_offset();
  const auto text = std::to_string(offset);
  NodeProcess node({"--data-dir", data.path().string(), "--port-offset", text},
                   {.environment = {}, .stderr_bytes = 4096});
  ASSERT_TRUE(node.says("ready on port"));
  HttpClient client(static_cast<std::uint16_t>(9944 + offset));
  // Two lines of some 80 bytes each time, into a pipe that has 4 KiB.
  for (int i = 0; i < 40; ++i) {
    client.call(rpc("node_stopValidator", R"({"name":"charlie"})"));
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!client.call(rpc("node_startValidator", R"({"name":"charlie"})")).as_object().contains("result")) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "it still stops";
    }
  }
  ASSERT_TRUE(client.call(rpc("qssh_submitMessage", R"({"Telemetry":{"source":"s","data":[]}})"))
                  .as_object()
                  .contains("result"));
  node.send_signal(SIGTERM);
  EXPECT_TRUE(node.ends_unread());
  EXPECT_EQ(node.wait(), 0);
}

TEST(Stop, AnInterruptIsGraceful) {
  DevNode node;
  node.process().send_signal(SIGINT);
  EXPECT_EQ(node.process().wait(), 0) << node.process().err();
}

// Operators send it to have files read anew.
TEST(Stop, AHangupOfAServiceChangesNothingAndSaysSo) {
  DevNode node;
  node.process().send_signal(SIGHUP);
  EXPECT_TRUE(node.process().says("SIGHUP changes nothing: the configuration and the tokens are read at a start only"));
  EXPECT_EQ(HttpClient(node.port()).call(rpc("qssh_getQueueDepth")).at("result"), 0);
  EXPECT_EQ(node.process().stop(), 0) << "the first signal that counts: " << node.process().err();
}

TEST(Stop, ATerminalThatIsClosedIsGraceful) {
  TempDir data;
  NodeProcess node({"--data-dir", data.path().string(), "--port-offset", std::to_string(free_port_offset())},
                   {.environment = {}, .terminal = true});
  ASSERT_TRUE(node.says("Ctrl-C stops"));
  node.send_signal(SIGHUP);
  EXPECT_EQ(node.wait(), 0) << node.err();
}

constexpr int kUnreadMessages = 8;

/// An answer that nobody reads keeps a stop busy for a while. The messages in it are in memory only.
void leave_unread(const HttpClient& reader, std::uint16_t port) {
  const auto submit =
      rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x)" + std::string(2'000'000, '0') + R"("}})");
  HttpClient client(port);
  for (int i = 0; i < kUnreadMessages; ++i) (void)client.call(submit);
  ASSERT_TRUE(reader.send(post(rpc("qssh_peek"))));
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), kUnreadMessages);  // the peek came first
}

TEST(Stop, ASecondSignalEndsAtOnce) {
  DevNode node;
  const HttpClient reader(node.port());
  leave_unread(reader, node.port());
  node.process().send_signal(SIGTERM);
  ASSERT_TRUE(node.process().says("stopping"));
  EXPECT_EQ(node.process().repeat_until_it_ends(SIGINT), 130);
  EXPECT_TRUE(node.process().says("ended at once by SIGINT: what was only in memory is lost"));
}

// timeout(1) signals a program and then its process group, and so it twice.
TEST(Stop, ASignalThatComesTwiceAtOnceIsGraceful) {
  TempDir data;
  const auto offset = free_port_offset();
  const std::vector<std::string> arguments = {"--data-dir", data.path().string(), "--port-offset",
                                              std::to_string(offset)};
  {
    NodeProcess node(arguments);
    ASSERT_TRUE(node.says("ready on port"));
    const HttpClient reader(static_cast<std::uint16_t>(9944 + offset));
    leave_unread(reader, static_cast<std::uint16_t>(9944 + offset));
    node.send_signal(SIGTERM);
    ASSERT_TRUE(node.says("stopping: SIGTERM"));
    node.send_signal(SIGTERM);
    EXPECT_EQ(node.wait(), 0) << node.err();
  }
  NodeProcess again(arguments);
  ASSERT_TRUE(again.says("charlie: ready on port"));
  HttpClient client(static_cast<std::uint16_t>(9944 + offset));
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result").as_int64(), kUnreadMessages);
}

/// Stops a node on a terminal by these signals, the others when the first has been taken. Its exit code, and how many
/// messages a start finds then.
std::pair<int, std::int64_t> stop_on_a_terminal(const std::vector<int>& signals) {
  TempDir data;
  const auto offset = free_port_offset();
  const auto port = static_cast<std::uint16_t>(9944 + offset);
  int code = -1;
  {
    NodeProcess node({"--data-dir", data.path().string(), "--port-offset", std::to_string(offset)},
                     {.environment = {}, .terminal = true});
    EXPECT_TRUE(node.says("Ctrl-C stops"));
    const HttpClient reader(port);
    leave_unread(reader, port);
    node.send_signal(signals.front());
    EXPECT_TRUE(node.says("stopping"));
    for (std::size_t i = 1; i < signals.size(); ++i) node.send_signal(signals[i]);
    code = node.wait();
  }
  NodeProcess again({"--data-dir", data.path().string(), "--port-offset", std::to_string(offset)});
  EXPECT_TRUE(again.says("charlie: ready on port")) << again.err();
  HttpClient client(port);
  return {code, client.call(rpc("qssh_getQueueDepth")).at("result").as_int64()};
}

// The shell sends one to its jobs, the kernel another one, and a session that ends SIGTERM with it.
TEST(Stop, ATerminalThatIsClosedSendsSeveralHangupsAndNothingIsLost) {
  const std::pair whole(0, std::int64_t{kUnreadMessages});
  EXPECT_EQ(stop_on_a_terminal({SIGHUP, SIGHUP, SIGHUP}), whole);
  EXPECT_EQ(stop_on_a_terminal({SIGTERM, SIGHUP}), whole);
  EXPECT_EQ(stop_on_a_terminal({SIGHUP, SIGTERM, SIGHUP}), whole);
  EXPECT_EQ(stop_on_a_terminal({SIGINT, SIGHUP, SIGTERM}), whole) << "all within a second";
}

TEST(Stop, SystemdIsTold) {
  // A name that is in no directory, as systemd uses in containers.
  const std::string name = "qh-notify-" + std::to_string(::getpid());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto heard = [&] {
    std::string text(200, '\0');
    const auto got = ::recv(fd, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  };
  TempDir data;
  NodeProcess node({"--dev", "--data-dir", data.path().string(), "--port-offset", std::to_string(free_port_offset())},
                   {.environment = {{"NOTIFY_SOCKET", "@" + name}, {"WATCHDOG_USEC", "100000"}}});
  const auto hears = [&](std::string_view what) {
    for (;;) {
      const auto text = heard();
      if (text.empty() || text.starts_with(what)) return !text.empty();
    }
  };
  EXPECT_TRUE(hears("READY=1"));
  EXPECT_TRUE(hears("WATCHDOG=1"));
  node.send_signal(SIGTERM);
  EXPECT_TRUE(hears("STOPPING=1"));
  EXPECT_EQ(node.wait(), 0);
  ::close(fd);
}

/// Threads of a process with this name.
std::size_t threads_named(pid_t pid, const std::string& name) {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm"), comm);
    count += comm == name;
  }
  return count;
}

TEST(Start, BatchesInFlightHaveAThreadEach) {
  for (const std::size_t in_flight : {1U, 5U}) {
    TempDir data;
    NodeProcess node({"--validator", "--name", "alice", "--data-dir", data.path().string(), "--port-offset",
                      std::to_string(free_port_offset(1)), "--queue-batches-in-flight", std::to_string(in_flight)});
    ASSERT_TRUE(node.says("ready on port")) << node.err();
    EXPECT_EQ(threads_named(node.pid(), "qh-disk-hot"), in_flight);
    node.send_signal(SIGTERM);
    EXPECT_EQ(node.wait(), 0);
  }
}

}  // namespace
}  // namespace qh::test
