// base/read_file.h - all bytes of a small file, a pipe or a terminal.
//
// Errors   as base/file_storage_error.h, and kTooLarge beyond `bytes_max`; the context names the file. A directory is
// an
//          error like any other: a std::ifstream would throw at it.
// Threads  pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace qh {

/// `bytes_max` is how many it may have, in bytes.
Result<std::string> read_file(const std::filesystem::path& file, std::uint64_t bytes_max);
/// The same of what is open; `name` is what errors call it. The descriptor stays open.
Result<std::string> read_descriptor(int fd, const std::string& name, std::uint64_t bytes_max);

}  // namespace qh
