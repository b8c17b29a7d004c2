// output.h - what a command answers with, on stdout: all of it goes through here.
//
// Errors   the first failure ends the output; end_output() tells it. A full disk may be seen only when stdio flushes.
// Threads  the main one.
#pragma once

#include <string_view>

namespace qh::app {

void print(std::string_view text);
inline void print_line(std::string_view text) { print(text), print("\n"); }

/// Last. The exit code: `code`, or 1 where the output is not whole, which is said on stderr.
int end_output(int code);

}  // namespace qh::app
