// node/limits.h - what an operator does when the system allows this process no more files or threads.
//
// Threads  pure functions.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "base/result.h"

namespace qh::node {

inline constexpr const char* kMoreDescriptors =
    "allow it more open files: ulimit -n, or LimitNOFILE= in its systemd unit";
inline constexpr const char* kMoreThreads = "allow it more threads: ulimit -u, or TasksMax= in its systemd unit";

/// Nothing where the system's word is about no such limit.
std::string_view remedy_for_limit(int os_errno);

/// What a library threw while `step` was done, with the remedy where a limit was the reason.
Error error_of(const std::exception& thrown, std::string step);

}  // namespace qh::node
