#include <gtest/gtest.h>

#include "cli/completion.h"
#include "cli/man_page.h"
#include "node/setting.h"

namespace qh::cli {
namespace {

TEST(Cli, EverySettingIsInTheManualPageAndInEachCompletion) {
  const auto tree = node::command_tree();
  const auto man = man_page(tree, "1.2.3");
  for (const auto& setting : node::settings()) {
    const auto flag = node::flag_of(setting);
    std::string escaped;
    for (const char c : flag) escaped += c == '-' ? "\\-" : std::string(1, c);
    EXPECT_NE(man.find(".B " + escaped), man.npos) << flag;
    for (const char* shell : {"bash", "zsh"}) EXPECT_NE(completion(tree, shell)->find(flag), std::string::npos) << flag;
    EXPECT_NE(completion(tree, "fish")->find(" -l " + flag.substr(2) + " "), std::string::npos) << flag;
  }
  for (const char* command : {"wal repair", "config check", "completion"}) EXPECT_NE(man.find(command), man.npos);
  EXPECT_FALSE(completion(tree, "csh"));
}

TEST(Cli, AManualPageHasNoRequestInItsText) {
  node::CommandHelp program{"p", "First.\n.SH not a section\n'nor this \\fB", {}, {}};
  const auto man = man_page(program, "1");
  EXPECT_NE(man.find("\\&.SH not"), man.npos) << man;
  EXPECT_NE(man.find("\\&'nor this \\efB"), man.npos) << man;
}

}  // namespace
}  // namespace qh::cli
