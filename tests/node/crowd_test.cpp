// More clients than there is room for, slow ones, and a node that has no descriptor left.
#include <csignal>
#include <set>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "dev_node_calls.h"
#include "process_view.h"

namespace qh::test {
namespace {

constexpr std::size_t kBound = 4096;  ///< connections of a validator
/// Of one that has made a call: buffers, parser, session.
constexpr std::size_t kBytesAConnection = 32U << 10;

const std::string kName = rpc("qssh_getValidatorName");

std::size_t served(std::vector<HttpClient>& clients) {
  std::size_t count = 0;
  for (auto& client : clients) {
    if (!client.send(post(kName))) continue;
    const auto reply = client.reply();
    count += reply && reply->status == 200;
  }
  return count;
}

/// Until the process holds no more than `most` descriptors.
::testing::AssertionResult lets_go(pid_t pid, std::size_t most) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::size_t now = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    now = open_descriptors(pid);
    if (now <= most) return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << now << " are open, not " << most;
}

/// Until a new client is served.
bool gets_in(std::uint16_t port) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    HttpClient client(port);
    (void)client.send(post(kName));
    const auto reply = client.reply();
    if (reply && reply->status == 200) return true;
  }
  return false;
}

TEST(Crowd, TenThousandConnectionsAreServed) {
  constexpr std::size_t kAll = 10'000;
  ASSERT_TRUE(may_open(kAll + 200)) << "this test is one of the two sides: allow it more open files (ulimit -n)";
  DevNode node;
  const auto pid = node.process().pid();
  HttpClient(node.port()).call(kName);
  const auto descriptors = open_descriptors(pid), resident = resident_bytes(pid);
  {
    std::vector<HttpClient> clients;
    for (std::size_t i = 0; i < kAll; ++i) {
      clients.emplace_back(node.port(static_cast<unsigned>(i % 3)));
      ASSERT_TRUE(clients.back().connected()) << "connection " << i;
    }
    EXPECT_EQ(served(clients), kAll);
    EXPECT_EQ(served(clients), kAll) << "they stay";
    EXPECT_GE(open_descriptors(pid), kAll);
    EXPECT_LT(resident_bytes(pid), resident + kAll * kBytesAConnection);
  }
  constexpr std::size_t kOfTheLogs = 16;  // segments that were made meanwhile
  EXPECT_TRUE(lets_go(pid, descriptors + kOfTheLogs));
  EXPECT_EQ(node.process().stop(), 0);
}

TEST(Crowd, WhoIsOneTooManyIsToldSoAndTheOthersGoOn) {
  constexpr std::size_t kOver = 300;
  ASSERT_TRUE(may_open(kBound + kOver + 200));
  DevNode node;
  std::vector<HttpClient> inside;
  for (std::size_t i = 0; i < kBound; ++i) inside.emplace_back(node.port());
  ASSERT_EQ(served(inside), kBound);
  for (std::size_t i = 0; i < kOver; ++i) {
    HttpClient outside(node.port());
    const auto refusal = outside.reply();
    ASSERT_TRUE(refusal) << "number " << i << " is left hanging";
    ASSERT_EQ(refusal->status, 503);
    EXPECT_TRUE(refusal->has("Retry-After: 1\r\n"));
    EXPECT_EQ(refusal->body, "too many connections: 4096 are open, and this port takes no more\n");
    EXPECT_TRUE(outside.ended());
  }
  EXPECT_EQ(served(inside), kBound);
  EXPECT_EQ(HttpClient(node.port(1)).call(kName).at("result"), "bob") << "each port has its own bound";
  const auto descriptors = open_descriptors(node.process().pid());
  inside.pop_back();
  ASSERT_TRUE(lets_go(node.process().pid(), descriptors - 1));
  EXPECT_EQ(HttpClient(node.port()).call(kName).at("result"), "alice") << "one has gone, so one may come";
}

/// A port full of clients that never end their header: within seconds each is told so, and the port is free.
TEST(Crowd, SlowHeadersDoNotKeepAPort) {
  ASSERT_TRUE(may_open(kBound + 200));
  DevNode node;
  std::vector<HttpClient> slow;
  for (std::size_t i = 0; i < kBound; ++i) {
    slow.emplace_back(node.port());
    ASSERT_TRUE(slow.back().send("POST / HTTP/1.1\r\nHost: loc"));
  }
  HttpClient refused(node.port());
  const auto crowd = refused.reply();
  ASSERT_TRUE(crowd);
  EXPECT_EQ(crowd->status, 503);
  for (auto& client : slow) {
    const auto reply = client.reply();
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->status, 408);
  }
  EXPECT_TRUE(gets_in(node.port())) << "though those that were told so have not closed their end";
}

/// Health checks get in, however many never end their header.
TEST(Crowd, HalfHeadersDoNotKeepHealthChecksOut) {
  DevNode dev_node({}, {}, with_open_files(600));
  auto& node = dev_node.process();
  ASSERT_TRUE(node.says("metrics on port")) << node.err();
  const auto web = dev_node.web_port();
  std::vector<HttpClient> slow;
  for (int i = 0; i < 800; ++i) {
    slow.emplace_back(web);
    ASSERT_TRUE(slow.back().connected());
    ASSERT_TRUE(slow.back().send("GET / HTTP/1.1\r\nHost:"));
    if (i % 50 != 49) continue;
    HttpClient check(web);
    ASSERT_TRUE(check.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    const auto reply = check.reply();
    ASSERT_TRUE(reply) << "behind " << i;
    EXPECT_EQ(reply->status, 200) << reply->body;
  }
  EXPECT_EQ(node.stop(), 0);
}

// -- No descriptor left ---------------------------------------------------------------------------------------

/// Durable submits; those that were acknowledged. A refusal says what is wrong.
std::set<std::uint64_t> submit(HttpClient& client, int count) {
  std::set<std::uint64_t> acknowledged;
  for (int i = 0; i < count; ++i) {
    const auto json = client.call(durable_gossip(200'000)).as_object();
    if (json.contains("result")) {
      acknowledged.insert(json.at("result").at("message_id").to_number<std::uint64_t>());
      continue;
    }
    const auto& error = json.at("error");
    EXPECT_EQ(error.at("data").at("reason"), "StorageFailed") << boost::json::serialize(error);
    EXPECT_NE(error.at("message").as_string().find("open"), std::string::npos) << boost::json::serialize(error);
  }
  return acknowledged;
}

TEST(Crowd, WithoutDescriptorsNothingAcknowledgedIsLost) {
  constexpr std::size_t kLeft = 10;
  TempDir data;
  std::set<std::uint64_t> acknowledged;
  {
    DevNode node({}, data.path());
    const auto pid = node.process().pid();
    HttpClient old(node.port());
    acknowledged = submit(old, 3);
    EXPECT_EQ(acknowledged.size(), 3U);
    const auto before = limit_descriptors(pid, open_descriptors(pid) + kLeft);

    std::vector<HttpClient> crowd;
    for (std::size_t i = 0; i < kLeft + 30; ++i) {
      crowd.emplace_back(node.port());
      ASSERT_TRUE(crowd.back().send(post(kName)));
    }
    ASSERT_TRUE(node.process().says("alice: cannot take connections on port " + std::to_string(node.port())))
        << node.process().err();
    EXPECT_TRUE(node.process().says("Too many open files; allow it more open files: ulimit -n, or LimitNOFILE="))
        << node.process().err();
    // The log outgrows what it has open: it goes on, or says why not.
    acknowledged.merge(submit(old, 80));
    EXPECT_GT(acknowledged.size(), 10U) << "segments were ready";

    // Each of the crowd is served when another one goes: nobody hangs.
    for (auto& client : crowd) {
      const auto reply = client.reply();
      ASSERT_TRUE(reply);
      EXPECT_EQ(reply->status, 200);
      HttpClient gone(std::move(client));
    }
    EXPECT_TRUE(node.process().says("alice: takes connections again")) << node.process().err();
    limit_descriptors(pid, before);
    // The log tries again each second.
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    bool works = false;
    while (!works && std::chrono::steady_clock::now() < deadline) {
      const auto more = submit(old, 1);
      works = !more.empty();
      acknowledged.insert(more.begin(), more.end());
    }
    EXPECT_TRUE(works) << node.process().err();
    node.process().send_signal(SIGKILL);
    node.process().wait();
  }
  DevNode node({}, data.path());
  HttpClient client(node.port());
  for (const auto id : acknowledged) {
    const auto found = client.call(rpc("qssh_find", R"({"message_id":)" + std::to_string(id) + "}"));
    EXPECT_EQ(found.at("result").at("state"), "ready") << "message " << id;
  }
}

TEST(Crowd, FewDescriptorsAreDividedAtTheStart) {
  DevNode dev_node({}, {}, with_open_files(600));
  auto& node = dev_node.process();
  EXPECT_TRUE(node.says("only 600 files may be open at once, so each validator's port takes ")) << node.err();
  EXPECT_TRUE(node.says("LimitNOFILE=")) << node.err();
  // All that it takes together leave the logs what they need.
  const auto port = dev_node.port();
  std::vector<HttpClient> crowd;
  bool refused = false;
  for (int i = 0; i < 600 && !refused; ++i) {
    crowd.emplace_back(port);
    ASSERT_TRUE(crowd.back().send(post(kName)));
    const auto reply = crowd.back().reply();
    ASSERT_TRUE(reply) << "connection " << i << " is left hanging";
    refused = reply->status == 503;
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(submit(crowd.front(), 80).size(), 80U);
  EXPECT_EQ(node.stop(), 0);
}

}  // namespace
}  // namespace qh::test
