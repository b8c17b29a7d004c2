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

TEST(Cli, WhatAFlagOrAnArgumentMayBeIsOffered) {
  const auto tree = node::command_tree();
  const auto bash = *completion(tree, "bash"), fish = *completion(tree, "fish");
  for (const auto& setting : node::settings()) {
    if (setting.words.empty()) continue;
    std::string words;
    for (const auto word : setting.words) words += (words.empty() ? "" : " ") + std::string(word);
    const auto flag = node::flag_of(setting);
    EXPECT_NE(bash.find(flag + ") echo '" + words + "'"), bash.npos) << flag;
    EXPECT_NE(fish.find("-a '" + words + "'"), fish.npos) << flag;
  }
  EXPECT_NE(bash.find("'completion') echo 'bash zsh fish "), bash.npos);
  EXPECT_NE(fish.find("__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'"), fish.npos);
}

TEST(Cli, FlagsStandBehindTheCommandsThatTakeThem) {
  const auto bash = *completion(node::command_tree(), "bash");
  const auto offered = [&](const std::string& path, std::string_view flag) {
    const auto from = bash.find("    '" + path + "') echo '");
    const auto line = bash.substr(from, bash.find('\n', from) - from);
    return line.find(" " + std::string(flag) + " ") != line.npos;
  };
  EXPECT_TRUE(offered("config show", "--data-dir"));
  EXPECT_TRUE(offered("config check", "--queue-max-depth"));
  EXPECT_TRUE(offered("wal verify", "--name"));
  EXPECT_FALSE(offered("wal verify", "--port-offset"));
  EXPECT_FALSE(offered("man", "--port-offset"));
  const auto fish = *completion(node::command_tree(), "fish");
  EXPECT_NE(fish.find(" -n 'not __fish_seen_subcommand_from man completion wal' -l port-offset "), fish.npos);
}

TEST(Cli, AManualPageHasNoRequestInItsText) {
  node::CommandHelp program{"p", "First.\n.SH not a section\n'nor this \\fB", {}, {}};
  const auto man = man_page(program, "1");
  EXPECT_NE(man.find("\\&.SH not"), man.npos) << man;
  EXPECT_NE(man.find("\\&'nor this \\efB"), man.npos) << man;
}

}  // namespace
}  // namespace qh::cli
