// cli/completion.h - what a shell needs to complete a program's command line, from its tree of commands.
//
// Threads  pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "node/command_line.h"

namespace qh::cli {

/// For bash, zsh or fish; nothing for another shell.
std::optional<std::string> completion(const node::CommandHelp& program, std::string_view shell);

}  // namespace qh::cli
