// node/command_line.h - the arguments of quantumharmony-node.
//
// Threads  pure functions, but parse_command_line reads the environment when it is given.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node/config.h"

namespace qh::node {

enum class Action : std::uint8_t { kRun, kHelp, kVersion, kConfigCheck, kConfigShow, kMan, kCompletion };

struct CommandLine {
  Action action = Action::kRun;
  std::string text;         ///< kHelp: what to print; kCompletion: for which shell
  bool json = false;        ///< config show --output json
  std::string config_file;  ///< empty: none
  GivenSettings flags;
};

struct FlagHelp {
  std::string name;        ///< "--data-dir"
  std::string value_name;  ///< "DIR"; empty: it takes none
  std::string meaning;
  std::string group;
  std::vector<std::string> words = {};  ///< all that it takes, where that is a few words
};

/// What --help, the man page and the completions are made from.
struct CommandHelp {
  std::string name;
  std::string meaning;
  std::vector<FlagHelp> flags;
  std::vector<CommandHelp> commands;
  std::string argument = {};            ///< "FILE"; empty: it takes none
  std::vector<std::string> words = {};  ///< all that its argument may be, where that is a few words
  bool takes_flags_above = false;       ///< those of the command that it belongs to may follow it
};

CommandHelp command_tree();

/// The settings that `wal import` keeps to; they are flags of it as well.
std::span<const std::string_view> settings_of_import();

/// `arguments` without the program's name.
tl::expected<CommandLine, Mistakes> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace qh::node
