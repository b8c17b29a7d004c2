#include "node/start_screen.h"

#include <gtest/gtest.h>

namespace qh::node {
namespace {

TEST(StartScreen, IsAlignedAndHasCommandsThatWork) {
  Screen screen;
  screen.version = "1.2.3";
  screen.data_dir = "/data";
  screen.validators.push_back({"alice", 9944, 0, {}});
  screen.validators.push_back({"validator-10", 9954, 0, {}});
  screen.validators[0].recovery.created = true;
  screen.validators[1].recovery.messages = 1;
  screen.validators[1].recovery.dead_letters = 2;
  const auto text = start_screen(screen, Paint::kPlain);
  EXPECT_NE(text.find("  alice         http://localhost:9944       ready  new queue\n"), std::string::npos) << text;
  EXPECT_NE(
      text.find("  validator-10  http://localhost:9954       ready  1 message, 2 dead letters recovered in 0.0 ms\n"),
      std::string::npos)
      << text;
  EXPECT_NE(
      text.find(R"(curl http://localhost:9944 -d '{"jsonrpc":"2.0","method":"qssh_getMetrics","params":[],"id":1}')"),
      std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  screen.listen = {"127.0.0.5", "10.0.0.1"};
  screen.web_port = 8080;
  const auto elsewhere = start_screen(screen, Paint::kPlain);
  EXPECT_EQ(elsewhere.find("localhost"), std::string::npos) << "it is not there";
  EXPECT_NE(elsewhere.find("curl http://127.0.0.5:9944 -d '"), std::string::npos) << elsewhere;
  EXPECT_EQ(shown_host({"10.0.0.1", "::"}), "localhost");
  EXPECT_EQ(shown_host({"fe80::1"}), "[fe80::1]");
  EXPECT_NE(start_screen(screen, Paint::kColour).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace qh::node
