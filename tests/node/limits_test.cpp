// What the system allows is used up: no descriptor, no thread, no more bytes. The node says which limit to raise, and
// whatever runs goes on.
#include <csignal>
#include <fstream>

#include "dev_node_calls.h"
#include "process_view.h"

namespace qh::test {
namespace {

namespace json = boost::json;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

std::vector<std::string> dev(const TempDir& data) {
  return {"--dev", "--data-dir", data.path().string(), "--port-offset", std::to_string(free_port_offset())};
}

TEST(Limits, AStartWithoutDescriptorsSaysWhichLimitToRaise) {
  for (std::size_t files = 6; files <= 40; files += files < 20 ? 1 : 4) {
    const TempDir data;
    auto how = with_open_files(files);
    how.environment = {{"LSAN_OPTIONS", "detect_leaks=0"}};  // it needs files of its own
    NodeProcess node(dev(data), how);
    EXPECT_EQ(node.wait(), 1) << files << " files: " << node.err();
    EXPECT_TRUE(contains(node.err(), "ulimit -n, or LimitNOFILE=")) << files << " files: " << node.err();
  }
}

/// Starts the node under strace; in each thread the `when`th thread that it makes is refused.
NodeProcess::Options without_threads(const std::string& when) {
  NodeProcess::Options how;
  how.environment = {{"LSAN_OPTIONS", "detect_leaks=0"}};  // which does not work under ptrace
  how.wrapper = {"/usr/bin/strace", "-D", "-f",           "-qqq", "-o",
                 "/dev/null",       "-e", "trace=clone3", "-e",   "inject=clone3:error=EAGAIN:when=" + when};
  return how;
}

TEST(Limits, AStartWithoutThreadsSaysWhichLimitToRaise) {
  for (int when = 1; when <= 4; ++when) {  // of the log, then the validators', and theirs for the disk
    const TempDir data;
    NodeProcess node(dev(data), without_threads(std::to_string(when)));
    EXPECT_EQ(node.wait(), 1) << when << ": " << node.err();
    EXPECT_TRUE(contains(node.err(), "ulimit -u, or TasksMax=")) << when << ": " << node.err();
  }
}

TEST(Limits, AValidatorThatFindsNoThreadIsAnErrorOfItsStart) {
  const TempDir data;
  auto arguments = dev(data);
  const auto port = static_cast<std::uint16_t>(9944 + std::stoi(arguments.back()));
  NodeProcess node(arguments, without_threads("5"));
  ASSERT_TRUE(node.says("ready on port")) << node.err();
  HttpClient alice(port);
  const auto refused = alice.call(rpc("node_addValidator", of_validator("dave")));
  ASSERT_TRUE(refused.as_object().contains("error")) << json::serialize(refused);
  EXPECT_TRUE(contains(json::serialize(refused), "TasksMax=")) << json::serialize(refused);
  EXPECT_TRUE(listed(alice, "dave").is_null());
  alice.call(rpc("node_addValidator", of_validator("dave")));
  EXPECT_TRUE(gets(alice, "dave", "running")) << "the sixth thread was to be had";
  EXPECT_EQ(node.stop(), 0) << node.err();
}

TEST(Limits, AValidatorThatFindsNoDescriptorIsAnErrorOfItsStart) {
  DevNode node;
  const auto pid = node.process().pid();
  HttpClient alice(node.port());
  alice.call(rpc("node_stopValidator", of_validator("bob")));
  ASSERT_TRUE(gets(alice, "bob", "stopped"));
  const auto open = open_descriptors(pid) - 8;  // a log may just have had some that it gives up
  unsigned refused = 0;
  for (std::size_t left = 0; left < 32; ++left) {
    const auto before = limit_descriptors(pid, open + left);
    auto reply = alice.call(rpc("node_startValidator", of_validator("bob")));
    json::value now;
    ASSERT_TRUE(becomes([&] { return (now = listed(alice, "bob")).at("state") != "starting"; }));
    const bool runs = now.at("state") == "running";
    const auto said = json::serialize(reply) + json::serialize(now);
    EXPECT_TRUE(runs || contains(said, "ulimit -n, or LimitNOFILE=")) << left << " left: " << said;
    refused += !runs;
    limit_descriptors(pid, before);
    alice.call(rpc("node_stopValidator", of_validator("bob")));
    ASSERT_TRUE(gets(alice, "bob", "stopped")) << "one that has failed is stopped as well";
  }
  EXPECT_GT(refused, 5U);
  const auto before = limit_descriptors(pid, open + 10);
  const auto added = alice.call(rpc("node_addValidator", of_validator("dave")));
  EXPECT_EQ(added.at("error").at("code"), -32011) << json::serialize(added);
  EXPECT_TRUE(contains(json::serialize(added), "LimitNOFILE=")) << json::serialize(added);
  limit_descriptors(pid, before);
  alice.call(rpc("node_startValidator", of_validator("bob")));
  EXPECT_TRUE(gets(alice, "bob", "running"));
  EXPECT_EQ(node.process().stop(), 0);
}

constexpr std::size_t kNone = 8;  ///< all below are taken since the start

TEST(Limits, AValidatorThatEndsWithoutDescriptorsIsTriedAgainUntilThereAreSome) {
  DevNode node({"--allow-faults"});
  const auto pid = node.process().pid();
  HttpClient alice(node.port()), bob(node.port(1));
  for (auto* client : {&alice, &bob}) client->call(rpc("qssh_getQueueDepth"));  // both are let in before
  const auto before = limit_descriptors(pid, kNone);
  bob.call(rpc("node_injectFault", R"({"fault":"error"})"));
  json::value now;
  EXPECT_TRUE(becomes([&] { return (now = listed(alice, "bob")).at("restarts").to_number<int>() >= 3; }))
      << json::serialize(now);
  EXPECT_EQ(now.at("state"), "restarting");
  EXPECT_TRUE(contains(json::serialize(now), "LimitNOFILE=")) << json::serialize(now);
  limit_descriptors(pid, before);
  EXPECT_TRUE(gets(alice, "bob", "running"));
  EXPECT_TRUE(listed(alice, "bob").at("error").is_null()) << "it is over";
  EXPECT_TRUE(node.process().says("bob: runs again, ready on port")) << node.process().err();
  EXPECT_EQ(node.process().stop(), 0);
}

TEST(Limits, WithoutDescriptorsTheMetricsStillCountThem) {
  DevNode node;
  HttpClient web(node.web_port());
  ASSERT_TRUE(web.send(get("/livez")));
  ASSERT_TRUE(web.reply());
  limit_descriptors(node.process().pid(), kNone);
  ASSERT_TRUE(web.send(get("/metrics")));
  const auto metrics = web.reply();
  ASSERT_TRUE(metrics && metrics->status == 200);
  const auto figure = [&](const std::string& name) {
    const auto at = metrics->body.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(metrics->body.substr(at + name.size() + 2));
  };
  EXPECT_GT(figure("process_open_fds"), 30);
  EXPECT_EQ(figure("process_max_fds"), kNone);
  EXPECT_GT(figure("process_resident_memory_bytes"), 1e6);
  EXPECT_GE(figure("quantumharmony_process_threads"), 4);
}

// -- Connections that are bounded, so that the logs keep theirs -------------------------------------------------

TEST(Limits, NeitherWebSocketsNorAddedValidatorsTakeTheDescriptorsOfTheLogs) {
  DevNode dev_node({}, {}, with_open_files(1024));
  auto& node = dev_node.process();
  ASSERT_TRUE(node.says("only 1024 files may be open at once, so each validator's port takes 230 connections"))
      << node.err();
  HttpClient alice(dev_node.port());
  alice.call(rpc("node_addValidator", of_validator("dave")));
  ASSERT_TRUE(gets(alice, "dave", "running"));
  ASSERT_TRUE(node.says("each validator's port takes 175 connections")) << "four share what three had: " << node.err();

  const std::string upgrade =
      "GET /qssh-queue-metrics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  std::vector<HttpClient> crowd;
  const auto fill = [&](std::uint16_t port, const std::string& request) {
    for (int i = 0; i < 1000; ++i) {
      crowd.emplace_back(port);
      const auto reply = crowd.back().send(request) ? crowd.back().reply(true) : std::nullopt;
      if (!reply || reply->status == 503) return reply.has_value();
    }
    return false;
  };
  EXPECT_TRUE(fill(dev_node.metrics_port(), upgrade)) << "they are never refused";
  for (const unsigned validator : {0U, 1U, 2U, 3U})
    EXPECT_TRUE(fill(dev_node.port(validator), post(rpc("qssh_getQueueDepth")))) << validator;
  EXPECT_FALSE(fill(dev_node.web_port(), get("/livez"))) << "there who is idle gives way";
  for (int i = 0; i < 80; ++i)
    ASSERT_TRUE(alice.call(durable_gossip(200'000)).as_object().contains("result")) << "submit " << i << node.err();
  EXPECT_EQ(node.stop(), 0) << node.err();
}

TEST(Limits, ANodeThatCouldNotServeEachPortSaysHowManyFilesItNeeds) {
  for (const std::size_t files : {44U, 64U, 76U, 183U}) {
    const TempDir data;
    NodeProcess node(dev(data), with_open_files(files));
    const auto said = "a node with 3 validators needs 184 open files, and may have " + std::to_string(files);
    ASSERT_TRUE(node.says(said)) << node.err();
    EXPECT_EQ(node.wait(), 1);
    EXPECT_FALSE(contains(node.err(), "ready on port")) << node.err();
  }
}

TEST(Limits, WithTheFewestFilesThatItStartsWithANodeServesAndItsLogsGrow) {
  DevNode dev_node({}, {}, with_open_files(184));
  auto& node = dev_node.process();
  HttpClient alice(dev_node.port());
  const auto refused = alice.call(rpc("node_addValidator", of_validator("dave")));
  EXPECT_EQ(refused.at("error").at("code"), -32011) << json::serialize(refused);
  EXPECT_TRUE(contains(json::serialize(refused), "4 validators needs 220 open files")) << json::serialize(refused);
  std::vector<HttpClient> idle;
  for (const auto port :
       {dev_node.port(0), dev_node.port(1), dev_node.port(2), dev_node.metrics_port(), dev_node.web_port()}) {
    for (int i = 0; i < 12; ++i) idle.emplace_back(port);
  }
  for (int i = 0; i < 80; ++i)
    ASSERT_TRUE(alice.call(durable_gossip(200'000)).as_object().contains("result")) << "submit " << i << node.err();
  EXPECT_FALSE(contains(node.err(), "Too many open files")) << node.err();
  EXPECT_EQ(node.stop(), 0) << node.err();
}

// -- A stderr that takes no more --------------------------------------------------------------------------------

TEST(Limits, AStderrThatIsAtTheBoundOfItsSizeStopsNothing) {
  const TempDir data;
  const auto file = data.path() / "stderr";
  std::ofstream(file).flush();
  constexpr std::size_t kBytes = 256U << 20;
  std::filesystem::resize_file(file, kBytes);
  auto arguments = dev(data);
  const auto port = static_cast<std::uint16_t>(9944 + std::stoi(arguments.back()));
  NodeProcess::Options how;
  how.wrapper = {"/usr/bin/prlimit",
                 "--fsize=" + std::to_string(kBytes),
                 "/bin/sh",
                 "-c",
                 "exec \"$@\" 2>>'" + file.string() + "'",
                 "sh"};
  NodeProcess node(arguments, how);
  EXPECT_TRUE(becomes([&] { return fetch(static_cast<std::uint16_t>(port - 9944 + 8080), "/readyz").status == 200; }));
  EXPECT_TRUE(HttpClient(port).call(durable_gossip()).as_object().contains("result"));
  EXPECT_EQ(node.stop(), 0);
}

TEST(Limits, AStartThatFailsEndsThoughNobodyReadsWhy) {
  NodeProcess::Options how;  // a pipe has 64 KiB
  how.wrapper = {"/bin/sh", "-c", "head -c 65536 /dev/zero >&2; exec \"$@\"", "sh"};
  NodeProcess node({"--dev", "--data-dir", "/proc/nowhere", "--port-offset", std::to_string(free_port_offset())}, how);
  EXPECT_TRUE(node.ends_unread());
  NodeProcess usage({"--no-such-flag"}, how);
  EXPECT_TRUE(usage.ends_unread());
}

}  // namespace
}  // namespace qh::test
