#include "serve/access.h"

#include <gtest/gtest.h>

namespace qh::serve {
namespace {

TEST(Access, LoopbackNamesAndAddressesAreHosts) {
  const AccessRules rules{
      .allowed_origins = {}, .allowed_hosts = {"node.example", "2001:db8::7"}, .require_token = false, .tokens = {}};
  for (const char* host : {"localhost", "localhost:9944", "LOCALHOST:1", "localhost.", "alice.localhost", "127.0.0.1",
                           "127.9.8.7:9944", "[::1]", "[::1]:9944", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:1",
                           "[::FFFF:7F00:1]", "[2001:DB8:0::7]", "node.example", "Node.Example:80"}) {
    EXPECT_TRUE(host_allowed(rules, host)) << host;
  }
  for (const char* host : {"",
                           "evil.example",
                           "localhost.evil.example",
                           "127.0.0.1.evil.example",
                           "evil-localhost",
                           "128.0.0.1",
                           "0.0.0.0",
                           "127.0.0",
                           "127.0.0.256",
                           "[::2]",
                           "[::1",
                           "[::1]x",
                           "localhost:99x",
                           "10.0.0.1:9944",
                           "xnode.example",
                           "::1",
                           "[]",
                           "[",
                           "[127.0.0.1]",
                           "[::ffff:10.0.0.1]",
                           "[2001:db8::8]",
                           "[::1%lo]",
                           "127.1",
                           "localhost/x",
                           "a b.localhost",
                           ".localhost",
                           "a..localhost",
                           "..localhost",
                           ".a.localhost",
                           "a\xc3\xa9.localhost",
                           "a/b.localhost",
                           "a@b.localhost",
                           "<b>.localhost",
                           "a_b.localhost",
                           "alice.localhost..",
                           "a@localhost"}) {
    EXPECT_FALSE(host_allowed(rules, host)) << host;
  }
}

TEST(Access, OriginsAreWholeOrNothing) {
  const AccessRules rules{
      .allowed_origins = {"https://wallet.example"}, .allowed_hosts = {}, .require_token = false, .tokens = {}};
  EXPECT_TRUE(origin_allowed(rules, "https://wallet.example"));
  EXPECT_TRUE(origin_allowed(rules, "HTTPS://Wallet.example"));
  for (const char* origin : {"null", "http://wallet.example", "https://wallet.example:444",
                             "https://wallet.example.evil.example", "", "*"}) {
    EXPECT_FALSE(origin_allowed(rules, origin)) << origin;
  }
}

TEST(Access, ThePagesOfTheOwnWebPortAreUnderEveryHostThatIsAllowed) {
  AccessRules rules;
  rules.allowed_hosts = {"node.example"};
  EXPECT_FALSE(origin_allowed(rules, "http://localhost:8080")) << "without such a port";
  rules.own_web_port = 8080;
  for (const char* origin : {"http://localhost:8080", "http://alice.localhost:8080", "http://localhost.:8080",
                             "http://127.0.0.5:8080", "http://[::1]:8080", "http://Node.Example:8080"}) {
    EXPECT_TRUE(origin_allowed(rules, origin)) << origin;
  }
  for (const char* origin :
       {"http://localhost", "http://localhost:80801", "http://localhost:08080", "http://localhost:8081", "null",
        "http://evil.example:8080", "ftp://localhost:8080", "localhost:8080", "http://localhost:8080/", "http://:8080",
        "http://localhost:8080@evil.example", "http://evil.example/localhost:8080"}) {
    EXPECT_FALSE(origin_allowed(rules, origin)) << origin;
  }
  rules.own_web_port = 80;
  EXPECT_TRUE(origin_allowed(rules, "http://localhost")) << "browsers leave it out";
  EXPECT_TRUE(origin_allowed(rules, "http://localhost:80"));
  EXPECT_FALSE(origin_allowed(rules, "https://localhost"));
  rules.own_web_port = 443;
  EXPECT_TRUE(origin_allowed(rules, "https://node.example"));
}

TEST(Access, TokensHaveNamesAndRoles) {
  const auto digest = to_hex(crypto::sha256(as_bytes("sesame")));
  const auto table = TokenTable::parse("# ours\n\n  wallet " + digest + "  read,submit\n");
  ASSERT_TRUE(table) << table.error().to_string();
  const AccessRules rules{.allowed_origins = {}, .allowed_hosts = {}, .require_token = false, .tokens = *table};
  const auto wallet = identify(rules, "Bearer sesame", false, "alice");
  ASSERT_TRUE(wallet);
  EXPECT_EQ(wallet->name, "wallet");
  EXPECT_TRUE(wallet->roles.has(rpc::Role::kSubmit));
  EXPECT_FALSE(wallet->roles.has(rpc::Role::kConsume));
  EXPECT_TRUE(identify(rules, "bearer sesame", true, "alice"));
  for (const char* wrong : {"Bearer sesam", "Bearer", "Bearer ", "sesame", "Basic sesame", ""}) {
    EXPECT_FALSE(identify(rules, wrong, true, "alice")) << wrong;
  }
}

TEST(Access, LoopbackNeedsNoTokenUnlessItIsAsked) {
  AccessRules rules;
  const auto local = identify(rules, std::nullopt, true, "alice");
  ASSERT_TRUE(local);
  EXPECT_EQ(local->name, "alice");
  EXPECT_EQ(local->roles, rpc::RoleSet::all());
  EXPECT_FALSE(identify(rules, std::nullopt, false, "alice"));
  rules.require_token = true;
  EXPECT_FALSE(identify(rules, std::nullopt, true, "alice"));
}

TEST(Access, TokenFilesAreJudgedByTheLine) {
  const std::pair<std::string, const char*> wrongs[] = {
      {"wallet\n", "line 1: expected three words"},
      {"\nwallet abc read\n", "line 2: the second word is not the 64 hex digits"},
      {"Wallet! " + std::string(64, 'a') + " read", "line 1: a name has"},
      {"wallet " + std::string(64, 'a') + " raed", "unknown role 'raed' (did you mean read?)"},
      {"wallet " + std::string(64, 'a') + " read\n\nwallet " + std::string(64, 'b') + " read",
       "line 3: the name wallet stands in line 1 as well"},
      {"wallet " + std::string(64, 'a') + " read\nother " + std::string(64, 'A') + " admin",
       "line 2: the token of other stands in line 1 as well"},
      {"wallet " + std::string(64, 'a') + " read submit", "line 1: expected three words"},
  };
  for (const auto& [text, why] : wrongs) {
    const auto table = TokenTable::parse(text);
    ASSERT_FALSE(table) << text;
    EXPECT_NE(table.error().context.find(why), std::string::npos) << table.error().context;
  }
  EXPECT_FALSE(TokenTable::load("/nonexistent/tokens"));
}

}  // namespace
}  // namespace qh::serve
