// cli/man_page.h - the manual page of a program, from its tree of commands (man-pages(7), groff_man(7)).
//
// Threads  pure functions.
#pragma once

#include <string>
#include <string_view>

#include "node/command_line.h"

namespace qh::cli {

std::string man_page(const node::CommandHelp& program, std::string_view version);

}  // namespace qh::cli
