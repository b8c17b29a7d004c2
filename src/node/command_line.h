// node/command_line.h - the arguments of quantumharmony-node.
//
// Threads  pure functions, but parse_command_line reads the environment when it is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/config.h"

namespace qh::node {

enum class Action : std::uint8_t { kRun, kHelp, kVersion, kConfigCheck, kConfigShow };

struct CommandLine {
  Action action = Action::kRun;
  std::string text;         ///< kHelp: what to print
  bool json = false;        ///< config show --output json
  std::string config_file;  ///< empty: none
  GivenSettings flags;
};

/// `arguments` without the program's name.
tl::expected<CommandLine, Mistakes> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace qh::node
