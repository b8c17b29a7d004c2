// The seeds' calls, word for word, and what must survive.

#include <chrono>
#include <csignal>

#include <gtest/gtest.h>
#include <boost/json/serialize.hpp>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

constexpr const char* kGossip = R"({"Gossip":{"topic":"test","data":[1,2,3]}})";

/// What curl -d sends: no JSON type, its own agent.
std::string as_curl(std::string_view body, std::string_view type = "application/x-www-form-urlencoded") {
  return "POST / HTTP/1.1\r\nHost: localhost:9944\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nContent-Type: " + std::string(type) + "\r\n\r\n" + std::string(body);
}

/// A wait is in the queue, or has left it, once the figures say so.
void await_waiters(HttpClient& client, int count) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (client.call(rpc("qssh_getMetrics")).at("result").at("waiters") != count) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "there are never " << count;
  }
}

TEST(Rpc, TheSeedsManualTestWordForWord) {
  DevNode node;
  const char* const names[] = {"alice", "bob", "charlie"};
  for (unsigned i = 0; i < 3; ++i) {
    HttpClient client(node.port(i));
    ASSERT_TRUE(client.send(as_curl(R"({"jsonrpc":"2.0","method":"qssh_getValidatorName","params":[],"id":1})")));
    const auto reply = client.reply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_TRUE(reply->has("Content-Type: application/json"));
    EXPECT_EQ(reply->json().at("result"), names[i]);
  }
  HttpClient alice(node.port());
  const auto call = [&](std::string_view body) {
    EXPECT_TRUE(alice.send(as_curl(body, "application/json")));
    return alice.reply()->json().at("result");
  };
  EXPECT_EQ(call(R"({
    "jsonrpc":"2.0",
    "method":"qssh_submitMessage",
    "params":{
      "Gossip": {"topic":"test","data":[1,2,3]}
    },
    "id":1
  })")
                .at("message_id"),
            1);
  EXPECT_EQ(call(R"({"jsonrpc":"2.0","method":"qssh_getQueueDepth","params":[],"id":2})"), 1);
  const auto popped = call(R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":[],"id":3})");
  EXPECT_EQ(popped.at("message").at("Gossip").at("topic"), "test");
  EXPECT_EQ(popped.at("submitted_by"), "alice");
  EXPECT_EQ(call(R"({"jsonrpc":"2.0","method":"qssh_getQueueDepth","params":[],"id":4})"), 0);
  const auto metrics = call(R"({"jsonrpc":"2.0","method":"qssh_getMetrics","params":[],"id":1})");
  for (const char* figure : {"queue_depth", "msg_rate", "latency", "health", "total_processed", "uptime"}) {
    EXPECT_TRUE(metrics.at(figure).is_number()) << figure;
  }
  EXPECT_EQ(node.process().stop(), 0) << node.process().err();
}

TEST(Rpc, ValidatorsAreIsolated) {
  DevNode node;
  (void)HttpClient(node.port(0)).call(rpc("qssh_submitMessage", kGossip));
  EXPECT_EQ(HttpClient(node.port(0)).call(rpc("qssh_getQueueDepth")).at("result"), 1);
  EXPECT_EQ(HttpClient(node.port(1)).call(rpc("qssh_getQueueDepth")).at("result"), 0);
  // Both loopback addresses, where there are two.
  HttpClient six(node.port(0), "::1");
  if (six.connected()) {
    EXPECT_EQ(six.call(rpc("qssh_getQueueDepth")).at("result"), 1);
  }
}

TEST(Rpc, AGracefulStopKeepsWhatWasOnlyInMemory) {
  TempDir data;
  {
    DevNode node({}, data.path());
    const auto result = HttpClient(node.port()).call(rpc("qssh_submitMessage", kGossip)).at("result");
    EXPECT_EQ(result.at("persisted"), false);
    EXPECT_EQ(node.process().stop(), 0);
  }
  DevNode node({}, data.path());
  const auto message = HttpClient(node.port()).call(rpc("qssh_popMessage")).at("result");
  ASSERT_TRUE(message.is_object());
  EXPECT_EQ(message.at("message_id"), 1);
}

TEST(Rpc, AKillKeepsWhatWasDurableAndNoIdRepeats) {
  TempDir data;
  {
    DevNode node({}, data.path());
    HttpClient client(node.port());
    const auto sync = client.call(rpc("qssh_submitMessage", "[" + std::string(kGossip) + R"(,{"durability":"sync"}])"));
    EXPECT_EQ(sync.at("result").at("persisted"), true);
    EXPECT_EQ(client.call(rpc("qssh_submitMessage", kGossip)).at("result").at("message_id"), 2);
    node.process().send_signal(SIGKILL);
    EXPECT_EQ(node.process().wait(), 128 + SIGKILL);
  }
  DevNode node({}, data.path());
  HttpClient client(node.port());
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), 1);
  EXPECT_EQ(client.call(rpc("qssh_peek")).at("result").at(0).at("message_id"), 1);
  EXPECT_GT(client.call(rpc("qssh_submitMessage", kGossip)).at("result").at("message_id").as_int64(), 2);
}

TEST(Rpc, AWaitEndsWhenAMessageComes) {
  DevNode node;
  HttpClient waiting(node.port());
  ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
  HttpClient client(node.port());
  await_waiters(client, 1);
  (void)client.call(rpc("qssh_submitMessage", kGossip));
  const auto reply = waiting.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->json().at("result").at("message_id"), 1);
}

TEST(Rpc, AClientThatGoesAwayTakesNothing) {
  DevNode node;
  HttpClient client(node.port());
  {
    HttpClient waiting(node.port());
    ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
    await_waiters(client, 1);
  }
  await_waiters(client, 0);
  (void)client.call(rpc("qssh_submitMessage", kGossip));
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), 1);
}

TEST(Rpc, AClientThatGoesAwayTakesNothingWhateverItSentBehindItsCall) {
  DevNode node;
  HttpClient client(node.port());
  const std::string name = rpc("qssh_getValidatorName");
  for (const auto& behind : {std::string("\r\n"), post(name), std::string(200'000, 'x')}) {
    {
      HttpClient waiting(node.port());
      ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
      await_waiters(client, 1);
      ASSERT_TRUE(waiting.send(behind));
    }
    await_waiters(client, 0);
  }
  (void)client.call(rpc("qssh_submitMessage", kGossip));
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), 1);
}

TEST(Rpc, ACallBehindAWaitIsAnsweredThoughNoMoreIsSent) {
  DevNode node;
  HttpClient client(node.port()), waiting(node.port());
  ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
  await_waiters(client, 1);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
  ASSERT_TRUE(waiting.send(post(rpc("qssh_getValidatorName"))));
  waiting.end_sending();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(waiting.reply()->json().at("error").at("data").at("reason"), "Timeout");
  EXPECT_EQ(waiting.reply()->json().at("result"), "alice");
  EXPECT_TRUE(waiting.ended());
}

TEST(Rpc, WhatStandsBehindTheCallOfAClientThatLeavesIsHandedNothing) {
  DevNode node;
  HttpClient client(node.port());
  (void)client.call(rpc("qssh_submitMessage", kGossip));
  const auto waits = post(rpc("qssh_popMessage", R"({"kinds":["Vote"],"wait_ms":60000})"));
  const auto pop = post(rpc("qssh_popMessage"));
  {
    HttpClient leaving(node.port());
    ASSERT_TRUE(leaving.send(waits + pop));
    await_waiters(client, 1);
  }
  await_waiters(client, 0);
  HttpClient half(node.port());
  ASSERT_TRUE(half.send(waits + pop + post(rpc("qssh_submitMessage", kGossip))));
  await_waiters(client, 1);
  half.end_sending();
  for (int i = 0; i < 2; ++i) {
    const auto error = half.reply()->json().at("error");
    EXPECT_EQ(error.at("data").at("reason"), "Timeout");
    EXPECT_EQ(error.at("data").at("outcome"), "nothing was taken");
  }
  EXPECT_EQ(half.reply()->json().at("result").at("message_id"), 2);
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), 2);
}

/// Its end could not be seen behind them.
TEST(Rpc, AWaitThatManyRequestsFollowEndsAndSaysWhatIsKnown) {
  DevNode node;
  HttpClient waiting(node.port());
  std::string behind;
  for (int i = 0; i < 1'500; ++i) behind += post(rpc("qssh_getValidatorName"));
  ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})")) + behind));
  const auto error = waiting.reply()->json().at("error");
  EXPECT_EQ(error.at("data").at("reason"), "Timeout");
  EXPECT_EQ(error.at("data").at("outcome"), "nothing was taken");
  for (int i = 0; i < 1'500; ++i) ASSERT_EQ(waiting.reply()->json().at("result"), "alice") << i;
}

TEST(Rpc, AWaitIsAnsweredWhenTheNodeStops) {
  DevNode node;
  HttpClient waiting(node.port());
  ASSERT_TRUE(waiting.send(post(rpc("qssh_popMessage", R"({"wait_ms":60000})"))));
  HttpClient client(node.port());
  await_waiters(client, 1);
  EXPECT_EQ(node.process().stop(), 0);
  const auto reply = waiting.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->json().at("error").at("data").at("reason"), "ShuttingDown");
}

TEST(Rpc, ManyClientsSubmitDurablyAtOnce) {
  DevNode node;
  std::vector<HttpClient> clients;
  clients.reserve(64);
  for (int i = 0; i < 64; ++i) clients.emplace_back(node.port());
  const auto body = post(rpc("qssh_submitMessage", "[" + std::string(kGossip) + R"(,{"durability":"sync"}])"));
  for (int round = 0; round < 5; ++round) {
    for (auto& client : clients) ASSERT_TRUE(client.send(body));
    for (auto& client : clients) EXPECT_EQ(client.reply()->json().at("result").at("persisted"), true);
  }
  const auto metrics = clients[0].call(rpc("qssh_getMetrics")).at("result");
  EXPECT_EQ(metrics.at("queue_depth"), 320);
  EXPECT_LT(metrics.at("wal").at("syncs").as_int64(), 200) << "many share a sync";
}

}  // namespace
}  // namespace qh::test
