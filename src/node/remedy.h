// node/remedy.h - what to do about a directory or a file that cannot be used, for the line that a person reads. Limits
// of the process are in node/limits.h.
//
// Threads  pure function.
#pragma once

#include <string_view>

namespace qh::node {

/// A sentence that names a command, a limit or a flag; nothing where the system's word says too little to tell.
std::string_view remedy_for(int os_errno);

}  // namespace qh::node
