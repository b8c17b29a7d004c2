// node/remedy.h - what to do about a directory or a file that cannot be used, for the line that a person reads. Limits
// of the process are in node/limits.h.
//
// Threads  pure functions.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace qh::node {

/// A sentence that names a command, a limit or a flag; nothing where the system's word says too little to tell.
std::string_view remedy_for(int os_errno);
/// `error` with that sentence, or that of a limit, or else `otherwise` behind it.
Error with_remedy(Error error, std::string_view otherwise = {});
/// Of a log in `queue` that is damaged: how to look at it, and to mend it. A start changes nothing in it.
Error with_repair(Error error, const std::filesystem::path& queue);

}  // namespace qh::node
