// HTTP as the contract has it, over sockets. The whole table of attacks is in src/serve/http_request_test.cpp.

#include <gtest/gtest.h>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

class Http : public ::testing::Test {
 protected:
  /// One node for all: what a test sends, none leaves behind.
  static void SetUpTestSuite() { node_ = new DevNode; }
  static void TearDownTestSuite() {
    delete node_;
    node_ = nullptr;
  }
  static std::uint16_t port() { return node_->port(); }
  static const DevNode& node() { return *node_; }

 private:
  static DevNode* node_;
};
DevNode* Http::node_ = nullptr;

const std::string kName = rpc("qssh_getValidatorName");

TEST_F(Http, KeepsAliveAndTakesPipelinedRequests) {
  HttpClient client(port());
  ASSERT_TRUE(client.send(post(kName) + post("[" + kName + "]") + post(kName)));
  EXPECT_EQ(client.reply()->json().at("result"), "alice");
  EXPECT_TRUE(client.reply()->json().is_array());
  EXPECT_EQ(client.reply()->json().at("result"), "alice");
  EXPECT_EQ(client.call(kName).at("result"), "alice");
}

TEST_F(Http, ClosesWhenItIsAskedTo) {
  HttpClient client(port());
  ASSERT_TRUE(client.send(post(kName, "Connection: close\r\n")));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->has("Connection: close"));
  EXPECT_TRUE(client.ended());

  HttpClient old(port());
  ASSERT_TRUE(old.send("POST / HTTP/1.0\r\nContent-Length: " + std::to_string(kName.size()) + "\r\n\r\n" + kName));
  EXPECT_EQ(old.reply()->status, 200);
  EXPECT_TRUE(old.ended());
}

TEST_F(Http, AnswersAClientThatHasShutItsHalf) {
  HttpClient client(port());
  ASSERT_TRUE(client.send(post(kName)));
  client.end_sending();
  EXPECT_EQ(client.reply()->json().at("result"), "alice");
  EXPECT_TRUE(client.ended());
}

TEST_F(Http, TakesChunksAndSaysContinue) {
  HttpClient client(port());
  const std::string head =
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
  ASSERT_TRUE(client.send(head));
  EXPECT_EQ(client.reply()->status, 100);
  ASSERT_TRUE(client.send("5\r\n" + kName.substr(0, 5) + "\r\n"));
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", kName.size() - 5);
  ASSERT_TRUE(client.send(size + kName.substr(5) + "\r\n0\r\n\r\n"));
  EXPECT_EQ(client.reply()->json().at("result"), "alice");

  // The body came along: no word about going on.
  ASSERT_TRUE(client.send(post(kName, "Expect: 100-continue\r\n")));
  EXPECT_EQ(client.reply()->status, 200);
}

TEST_F(Http, NotificationsHaveNoBody) {
  HttpClient client(port());
  ASSERT_TRUE(client.send(post(R"({"jsonrpc":"2.0","method":"qssh_getValidatorName"})")));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 204);
  EXPECT_FALSE(reply->has("Content-Length"));
  EXPECT_EQ(client.call(kName).at("result"), "alice");
}

TEST_F(Http, JsonRpcErrorsAreOk) {
  HttpClient client(port());
  ASSERT_TRUE(client.send(post("{")));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->json().at("error").at("code"), -32700);
}

TEST(HttpErrors, ARefusalOfTheQueueIsOkToHttp) {
  DevNode node({"--queue-submitter-rate-limit", "1", "--queue-submitter-rate-burst", "2"});
  HttpClient client(node.port());
  const auto body = rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":[]}})");
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(client.call(body).as_object().contains("result"));
  ASSERT_TRUE(client.send(post(body)));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  const auto error = reply->json().at("error");
  EXPECT_EQ(error.at("code"), -32002);
  EXPECT_EQ(error.at("data").at("reason"), "RateLimited");
  EXPECT_EQ(error.at("data").at("bound"), "submitter_rate_limit");
  EXPECT_GT(error.at("data").at("retry_after_ms").as_int64(), 0);
  EXPECT_EQ(client.call(rpc("qssh_getQueueDepth")).at("result"), 2) << "the connection goes on";
}

TEST_F(Http, AWholeUrlIsATargetWhateverTheCaseOfItsScheme) {
  HttpClient client(port());
  for (const std::string scheme : {"http", "HTTP", "hTTp"}) {
    auto request = post(kName);
    request.replace(0, std::string("POST /").size(), "POST " + scheme + "://localhost/");
    ASSERT_TRUE(client.send(request));
    const auto reply = client.reply();
    ASSERT_TRUE(reply) << scheme;
    EXPECT_EQ(reply->status, 200) << scheme;
  }
}

TEST_F(Http, OtherPathsAndMethodsAreToldWhatWorks) {
  HttpClient client(port());
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  const auto method = client.reply();
  ASSERT_TRUE(method);
  EXPECT_EQ(method->status, 405);
  EXPECT_TRUE(method->has("Allow: POST\r\n"));
  EXPECT_NE(method->body.find("curl http://localhost:" + std::to_string(port()) + " -d '"), std::string::npos);
  const auto path = client.reply();
  ASSERT_TRUE(path);
  EXPECT_EQ(path->status, 404);
  HttpClient other(port());
  ASSERT_TRUE(other.send("GET /x HTTP/1.1\r\nHost: 127.0.0.5:7\r\n\r\nGET /x HTTP/1.1\r\nHost: `x`.localhost\r\n\r\n"));
  EXPECT_NE(other.reply()->body.find("curl http://127.0.0.5:7 -d '"), std::string::npos) << "as it was found";
  EXPECT_EQ(other.reply()->status, 403) << "no name of a host, and nothing for a shell";
  EXPECT_NE(path->body.find("curl "), std::string::npos);
  ASSERT_TRUE(client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_EQ(client.reply(true)->status, 405);
  EXPECT_EQ(client.call(kName).at("result"), "alice");

  HttpClient with_body(port());
  ASSERT_TRUE(with_body.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"));
  EXPECT_EQ(with_body.reply()->status, 405);
  EXPECT_TRUE(with_body.ended());
}

TEST_F(Http, AmbiguousFramingEndsTheConnection) {
  const std::string start = "POST / HTTP/1.1\r\nHost: localhost\r\n";
  const std::string hidden = post(rpc("qssh_submitMessage", R"({"Gossip":{"topic":"smuggled","data":"0x"}})"));
  const std::string attacks[] = {
      start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
      start + "Transfer-Encoding: xchunked\r\n\r\n" + hidden,
      start + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + hidden,
      start + "Content-Length : 0\r\n\r\n" + hidden,
      start + "X: y\r\n Content-Length: 0\r\n\r\n" + hidden,
      start + "X: y\rContent-Length: 0\r\n\r\n" + hidden,
      "POST / HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n" + hidden,
      start + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" + hidden,
  };
  for (const auto& attack : attacks) {
    HttpClient client(port());
    ASSERT_TRUE(client.send(attack));
    const auto reply = client.reply();
    ASSERT_TRUE(reply) << attack;
    EXPECT_GE(reply->status, 400) << attack;
    EXPECT_TRUE(reply->has("Connection: close")) << attack;
    EXPECT_TRUE(client.ended()) << attack;
  }
  EXPECT_EQ(HttpClient(port()).call(rpc("qssh_getQueueDepth")).at("result"), 0) << "nothing was smuggled in";
}

TEST_F(Http, BodiesOverTheLimitAreRefusedBeforeTheyCome) {
  HttpClient client(port());
  ASSERT_TRUE(
      client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388609\r\nExpect: 100-continue\r\n\r\n"));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
  EXPECT_EQ(reply->json().at("error").at("code"), -32005);
  EXPECT_EQ(reply->json().at("error").at("data").at("limit"), 8388608);
  EXPECT_TRUE(client.ended());
}

TEST_F(Http, AChunkOverTheLimitIsRefusedWithTheSizeOfTheBodyWhereANumberHasIt) {
  const auto refused = [&](const std::string& chunks) {
    HttpClient client(port());
    EXPECT_TRUE(client.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks));
    const auto reply = client.reply();
    EXPECT_TRUE(reply && reply->status == 413);
    return reply->json().at("error").at("data").as_object();
  };
  EXPECT_EQ(refused("3\r\n[1,\r\n900000\r\n").at("size"), 0x900003);
  EXPECT_EQ(refused("1FFFFFFFFFFFFF\r\n").at("size"), 9'007'199'254'740'991);
  EXPECT_FALSE(refused("20000000000000\r\n").contains("size")) << "2^53";
}

TEST_F(Http, AMessageOfAMebibyteAsAnArrayOfNumbersIsTaken) {
  std::string numbers = "255";
  while (numbers.size() < 4'100'000) numbers += ",255";
  HttpClient client(port());
  const auto taken = client.call(rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":[)" + numbers + "]}}"));
  ASSERT_TRUE(taken.as_object().contains("result"));
  const auto popped = client.call(rpc("qssh_popMessage")).at("result");
  EXPECT_EQ(popped.at("message").at("Gossip").at("data").as_string().size(), 2 + 2 * (numbers.size() + 1) / 4);

  const auto over = client.call(
      rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x)" + std::string(2'200'000, '0') + R"("}})"));
  EXPECT_EQ(over.at("error").at("code"), -32005);
  EXPECT_EQ(over.at("error").at("data").at("limit"), 1'048'576);
}

TEST_F(Http, ARefusalIsNotOfTheRequestBefore) {
  HttpClient client(port());
  ASSERT_TRUE(client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_EQ(client.reply(true)->status, 405);
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n"));
  const auto reply = client.reply();
  ASSERT_TRUE(reply) << "a body that is announced comes";
  EXPECT_EQ(reply->status, 400);
  EXPECT_FALSE(reply->body.empty());
}

TEST_F(Http, AHeaderThatDoesNotComeInTimeIsRefused) {
  HttpClient client(port());
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: loc"));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 408);
  EXPECT_TRUE(client.ended());
}

}  // namespace
}  // namespace qh::test
