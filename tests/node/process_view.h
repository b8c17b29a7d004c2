// tests/node/process_view.h - what a running process holds, and how much it may.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace qh::test {

std::size_t open_descriptors(pid_t pid);
std::size_t resident_bytes(pid_t pid);
/// The soft limit alone, so that it can be given back. Answers what it was.
std::size_t limit_descriptors(pid_t pid, std::size_t most);
/// Raises this process's own limit; false where it is not allowed as many.
bool may_open(std::size_t descriptors);

}  // namespace qh::test
