// The web port, the metrics WebSocket, and validators that come, go and fail while the node runs.
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/file_storage_file.h"
#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

namespace json = boost::json;

std::string get(std::string_view target, std::string_view headers = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n";
}

HttpReply ask(std::uint16_t port, std::string_view request, bool head_only = false) {
  HttpClient client(port);
  EXPECT_TRUE(client.send(request));
  auto reply = client.reply(head_only);
  EXPECT_TRUE(reply) << request;
  return reply.value_or(HttpReply());
}

std::string upgrade(std::string_view target, std::string_view headers = {}) {
  return get(target,
             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                 std::string(headers));
}

/// Asks again until `good`, within the tests' patience.
template <class Good>
::testing::AssertionResult comes(std::uint16_t port, std::string_view target, Good good) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto reply = ask(port, get(target));
    if (good(reply)) return ::testing::AssertionSuccess();
    last = reply.head + reply.body;
  }
  return ::testing::AssertionFailure() << last;
}

/// As another program that has the port.
UniqueFd listen_on(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  return fd;
}

json::value list(std::uint16_t port) { return HttpClient(port).call(rpc("node_listValidators")).at("result"); }

std::string state_of(std::uint16_t port, std::string_view name) {
  const auto all = list(port);
  for (const auto& one : all.as_array()) {
    if (one.at("name").as_string() == name) return std::string(one.at("state").as_string());
  }
  return "absent";
}

::testing::AssertionResult gets(std::uint16_t port, std::string_view name, std::string_view state) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    last = state_of(port, name);
    if (last == state) return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << name << " is " << last;
}

TEST(Web, EveryPathAnswersAsTheContractSays) {
  DevNode node;
  const auto port = node.web_port();
  const auto root = ask(port, get("/"));
  EXPECT_EQ(root.status, 302);
  EXPECT_TRUE(root.has("Location: /qssh-queue-manager.html\r\n"));
  const auto page = ask(port, get("/qssh-queue-manager.html"));
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(page.has("Content-Security-Policy: default-src 'none'"));
  EXPECT_NE(page.body.find("data-metrics-port=\"" + std::to_string(node.metrics_port()) + "\""), std::string::npos);
  for (const char* path : {"/livez", "/readyz", "/startupz"}) EXPECT_EQ(ask(port, get(path)).body, "ok\n") << path;
  EXPECT_EQ(ask(port, get("/readyz?verbose&exclude=validator-bob")).body,
            "[+]validator-alice ok\n[+]validator-bob excluded: ok\n[+]validator-charlie ok\nreadyz check passed\n");
  EXPECT_EQ(ask(port, get("/api/v1/status")).json().at("validators").as_array().size(), 3U);
  const auto metrics = ask(port, get("/metrics.json")).json();
  EXPECT_EQ(metrics.at("metrics").at("dag").at("tips"), 0);
  EXPECT_TRUE(metrics.at("metrics").at("queues").at("charlie").is_object());
  const auto plain = ask(port, get("/metrics"));
  EXPECT_TRUE(plain.has("Content-Type: text/plain; version=0.0.4"));
  EXPECT_NE(plain.body.find("quantumharmony_validator_up{validator=\"bob\"} 1\n"), std::string::npos);
  const auto open = ask(port, get("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n"));
  EXPECT_TRUE(open.has("Content-Type: application/openmetrics-text"));
  EXPECT_TRUE(open.body.ends_with("# EOF\n"));
  EXPECT_EQ(ask(port, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", true).status, 200);
  EXPECT_EQ(ask(port, get("/nothing")).status, 404);
  const auto post_reply = ask(port, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(post_reply.status, 405);
  EXPECT_TRUE(post_reply.has("Allow: GET, HEAD\r\n"));
  EXPECT_EQ(ask(port, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403) << "DNS rebinding";
}

TEST(Web, EveryAnswerHasTheFieldsThatProtectItsReader) {
  TempDir directory;
  const auto file = directory.path() / "tokens";
  // printf %s sesame | sha256sum
  std::ofstream(file) << "reader d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272 read\n";
  DevNode node({"--require-token", "--rpc-token-file", file.string()});
  const auto protects = [&](std::string_view request, int status) {
    const auto reply = ask(node.web_port(), request);
    EXPECT_EQ(reply.status, status) << request;
    for (const char* field : {"Content-Security-Policy: default-src 'none'; ", "X-Frame-Options: DENY\r\n",
                              "X-Content-Type-Options: nosniff\r\n", "Referrer-Policy: no-referrer\r\n",
                              "Cross-Origin-Opener-Policy: same-origin\r\n", "Cache-Control: no-store\r\n"}) {
      const auto first = reply.head.find(field);
      EXPECT_NE(first, std::string::npos) << field << reply.head;
      EXPECT_EQ(reply.head.find(field, first + 1), std::string::npos) << "once: " << field << reply.head;
    }
  };
  const std::string token = "Authorization: Bearer sesame\r\n";
  for (const char* path : {"/qssh-queue-manager.html", "/livez", "/metrics", "/metrics.json", "/api/v1/status"})
    protects(get(path, token), 200);
  protects(get("/", token), 302);
  protects(get("/", "Authorization: Bearer other\r\n"), 401);
  protects(get("/nothing", token), 404);
  protects("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405);
  protects("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403);
  protects(get("/", "Origin: null\r\n"), 403);
  protects("GET / HTTP/1.1\nHost: localhost\r\n\r\n", 400);
  protects(get("/", token + "Content-Length: 100000\r\n"), 413);
}

TEST(MetricsSocket, SendsTheSeedsFieldsAtOnceAndThenEachSecond) {
  DevNode node;
  HttpClient(node.port()).call(rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x"}})"));
  HttpClient socket(node.metrics_port());
  ASSERT_TRUE(socket.send(upgrade("/qssh-queue-metrics")));
  const auto accepted = socket.reply(true);
  ASSERT_TRUE(accepted && accepted->status == 101);
  EXPECT_TRUE(accepted->has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")) << "RFC 6455 section 1.3";
  // The figures follow within two of them.
  double depth = 0;
  for (int i = 0; i < 4 && depth == 0; ++i) {
    const auto text = socket.text_frame();
    ASSERT_TRUE(text);
    const auto figures = json::parse(*text);
    for (const char* name : {"alice", "bob", "charlie"}) {
      for (const char* field : {"queue_depth", "msg_rate", "latency", "health"})
        EXPECT_TRUE(figures.at(name).at(field).is_number()) << name << field;
    }
    for (const char* field : {"total_msg_rate", "avg_latency", "block_height"})
      EXPECT_TRUE(figures.at("aggregate").at(field).is_number()) << field;
    depth = figures.at("alice").at("queue_depth").to_number<double>();
  }
  EXPECT_EQ(depth, 1);
  EXPECT_EQ(node.process().stop(), 0) << "a reader does not hold the stop up";
}

TEST(MetricsSocket, OnlyOwnPagesAndTheRightPathMayListen) {
  DevNode node({"--allow-host", "box.example"});
  const auto port = node.metrics_port();
  EXPECT_EQ(ask(port, upgrade("/other")).status, 404);
  EXPECT_EQ(ask(port, get("/qssh-queue-metrics")).status, 426);
  EXPECT_EQ(ask(port, upgrade("/qssh-queue-metrics", "Origin: https://evil.example\r\n")).status, 403);
  EXPECT_EQ(ask(port, upgrade("/qssh-queue-metrics", "Origin: null\r\n")).status, 403);
  for (const char* host : {"localhost", "127.0.0.1", "[::1]", "box.example", "alice.localhost", "127.0.0.5"}) {
    const auto own = "Origin: http://" + std::string(host) + ":" + std::to_string(node.web_port()) + "\r\n";
    EXPECT_EQ(ask(port, upgrade("/qssh-queue-metrics", own), true).status, 101) << host;
  }
}

TEST(Supervisor, AValidatorThatFailsIsStartedAgainAndLosesNothing) {
  DevNode node({"--allow-faults"});
  const auto port = node.port();
  HttpClient(port).call(
      rpc("qssh_submitMessage", R"({"message":{"Gossip":{"topic":"t","data":"0x"}},"durability":"sync"})"));
  for (int restarts = 1; restarts <= 3; ++restarts) {
    HttpClient(port).call(rpc("node_injectFault", R"({"fault":"error"})"));
    const auto runs_again = [&](const HttpReply& reply) {
      const auto alice = reply.json().at("validators").at(0);
      return alice.at("state") == "running" && alice.at("restarts") == restarts;
    };
    ASSERT_TRUE(comes(node.web_port(), "/api/v1/status", runs_again));
  }
  EXPECT_EQ(HttpClient(port).call(rpc("qssh_getQueueDepth")).at("result"), 1);
  const auto all = list(node.port(1));
  for (const auto& other : all.as_array()) {
    if (other.at("name") != "alice") {
      EXPECT_EQ(other.at("restarts"), 0);
    }
  }
  EXPECT_TRUE(node.process().says("its loop ended by an error: a fault was injected"));
}

TEST(Supervisor, AStalledValidatorIsSeenAndHoldsNobodyUp) {
  DevNode node({"--allow-faults"});
  HttpClient(node.port()).call(rpc("node_injectFault", R"({"fault":"stall","duration_ms":6000})"));
  EXPECT_TRUE(comes(node.web_port(), "/readyz",
                    [](const HttpReply& r) { return r.status == 503 && r.body.find("stalled") != r.body.npos; }));
  EXPECT_EQ(HttpClient(node.port(1)).call(rpc("qssh_getValidatorName")).at("result"), "bob");
  EXPECT_TRUE(comes(node.web_port(), "/readyz", [](const HttpReply& r) { return r.status == 200; }));
}

TEST(Supervisor, FaultsAreNotThereUnlessAsked) {
  DevNode node;
  const auto refused = HttpClient(node.port()).call(rpc("node_injectFault", R"({"fault":"error"})"));
  EXPECT_EQ(refused.at("error").at("code"), -32601);
  EXPECT_EQ(refused.at("error").at("message"),
            "node_injectFault is not there: only runs that ask for it have it: --allow-faults");
  const auto document = json::serialize(HttpClient(node.port()).call(rpc("rpc.discover")));
  EXPECT_EQ(document.find("node_injectFault"), std::string::npos);
  EXPECT_NE(document.find("node_addValidator"), std::string::npos);
}

TEST(NodeMethods, ValidatorsAreAddedStoppedAndStartedWhileItRuns) {
  DevNode node;
  const auto bob = node.port(1);
  const auto added = HttpClient(bob).call(rpc("node_addValidator", R"({"name":"dave"})")).at("result");
  EXPECT_EQ(added.at("state"), "starting");
  const auto dave = added.at("port").to_number<std::uint16_t>();
  ASSERT_TRUE(gets(bob, "dave", "running"));
  HttpClient(dave).call(rpc("qssh_submitMessage", R"({"Gossip":{"topic":"kept","data":"0x"}})"));

  HttpClient(bob).call(rpc("node_stopValidator", R"({"name":"dave"})"));
  ASSERT_TRUE(gets(bob, "dave", "stopped"));
  EXPECT_FALSE(HttpClient(dave).connected());
  EXPECT_EQ(ask(node.web_port(), get("/readyz")).status, 200) << "it was stopped on purpose";

  HttpClient(bob).call(rpc("node_startValidator", R"({"name":"dave"})"));
  ASSERT_TRUE(gets(bob, "dave", "running"));
  EXPECT_EQ(HttpClient(dave).call(rpc("qssh_getQueueDepth")).at("result"), 1) << "what was in memory is kept";

  const auto code = [&](std::string_view method, std::string_view params) {
    return HttpClient(bob).call(rpc(method, params)).at("error").at("code").to_number<int>();
  };
  EXPECT_EQ(code("node_addValidator", R"({"name":"dave"})"), -32011);
  EXPECT_EQ(code("node_addValidator", R"({"name":"aggregate"})"), -32602);
  EXPECT_EQ(code("node_addValidator", R"({"name":"eve","port":)" + std::to_string(bob) + "}"), -32602);
  EXPECT_EQ(code("node_stopValidator", R"({"name":"nobody"})"), -32006);
  EXPECT_EQ(code("node_startValidator", R"({"name":"bob"})"), -32011);
  const auto others = listen_on(static_cast<std::uint16_t>(dave + 1));
  const auto taken = HttpClient(bob).call(rpc("node_addValidator", R"({"name":"eve"})")).at("error");
  EXPECT_EQ(taken.at("code"), -32011);
  EXPECT_NE(taken.at("message").as_string().find(R"(add the validator with another "port")"), json::string::npos)
      << json::serialize(taken);
  // A validator that stops itself answers first.
  EXPECT_EQ(HttpClient(bob).call(rpc("node_stopValidator", R"({"name":"bob"})")).at("result").at("state"), "stopping");
  ASSERT_TRUE(gets(node.port(), "bob", "stopped"));
  EXPECT_EQ(node.process().stop(), 0);
}

}  // namespace
}  // namespace qh::test
