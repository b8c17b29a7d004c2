// Who may speak to a port.

#include <fstream>

#include <gtest/gtest.h>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

const std::string kName = rpc("qssh_getValidatorName");

int status_of(std::uint16_t port, std::string_view request) {
  HttpClient client(port);
  EXPECT_TRUE(client.send(request));
  const auto reply = client.reply();
  return reply ? reply->status : 0;
}

std::string with_host(std::string_view host) {
  return "POST / HTTP/1.1\r\nHost: " + std::string(host) + "\r\nContent-Length: " + std::to_string(kName.size()) +
         "\r\n\r\n" + kName;
}

TEST(Access, ForeignOriginsAndHostsAreRefused) {
  DevNode node({"--allow-origin", "https://wallet.example", "--allow-host", "node.example"});
  const auto port = node.port();
  for (const char* host : {"localhost", "127.0.0.1:9944", "[::1]", "node.example:1"})
    EXPECT_EQ(status_of(port, with_host(host)), 200) << host;
  for (const char* host : {"evil.example", "10.0.0.1", ""}) EXPECT_EQ(status_of(port, with_host(host)), 403) << host;
  for (const char* origin : {"null", "https://evil.example", "http://localhost:9944"}) {
    EXPECT_EQ(status_of(port, post(kName, "Origin: " + std::string(origin) + "\r\n")), 403) << origin;
    EXPECT_EQ(status_of(port, post(kName, "Content-Type: application/json\r\nOrigin: " + std::string(origin) + "\r\n")),
              403)
        << origin;
  }
  HttpClient client(port);
  ASSERT_TRUE(client.send(post(kName, "Origin: https://wallet.example\r\n")));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_TRUE(reply->has("Access-Control-Allow-Origin: https://wallet.example\r\n"));
}

TEST(Access, PreflightsAreAnsweredForAllowedOriginsOnly) {
  DevNode node({"--allow-origin", "https://wallet.example"});
  const auto preflight = [](std::string_view origin) {
    return "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: " + std::string(origin) +
           "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n";
  };
  HttpClient client(node.port());
  ASSERT_TRUE(client.send(preflight("https://wallet.example") + post(kName)));
  const auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 204);
  EXPECT_TRUE(reply->has("Access-Control-Allow-Methods: POST\r\n"));
  EXPECT_EQ(client.reply()->json().at("result"), "alice");
  EXPECT_EQ(status_of(node.port(), preflight("https://evil.example")), 403);
  EXPECT_EQ(status_of(node.port(), "OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405);
}

TEST(Access, TokensNameTheirOwnerAndBoundHisRoles) {
  TempDir directory;
  const auto file = directory.path() / "tokens";
  // printf %s sesame | sha256sum
  std::ofstream(file) << "wallet d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272 read,submit\n";

  DevNode node({"--rpc-token-file", file.string(), "--require-token"});
  HttpClient client(node.port());
  ASSERT_TRUE(client.send(post(kName)));
  auto reply = client.reply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 401);
  EXPECT_TRUE(reply->has("WWW-Authenticate: Bearer\r\n"));
  EXPECT_EQ(reply->json().at("error").at("code"), -32007);
  EXPECT_EQ(status_of(node.port(), post(kName, "Authorization: Bearer sesam\r\n")), 401);
  HttpClient lost(node.port());
  ASSERT_TRUE(lost.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_NE(lost.reply()->body.find(R"(curl http://localhost:)" + std::to_string(node.port()) +
                                    R"( -H "Authorization: Bearer $TOKEN" -d ')"),
            std::string::npos);

  const std::string token = "Authorization: Bearer sesame\r\n";
  HttpClient wallet(node.port());
  EXPECT_EQ(wallet.call(rpc("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x"}})"), token)
                .at("result")
                .at("message_id"),
            1);
  EXPECT_EQ(wallet.call(rpc("qssh_peek"), token).at("result").at(0).at("submitted_by"), "wallet");
  const auto forbidden = wallet.call(rpc("qssh_popMessage"), token).at("error");
  EXPECT_EQ(forbidden.at("code"), -32010);
  EXPECT_EQ(forbidden.at("data").at("role"), "consume");
}

}  // namespace
}  // namespace qh::test
