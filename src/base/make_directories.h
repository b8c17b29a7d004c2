// base/make_directories.h - a directory with all that is missing above it, as durable as what will stand in it.
//
// Durability  when it has answered, the name of each directory that it made is synced in the directory above, and so
//             is that of each one that was there and may have been made by a start which was cut off before its sync:
//             one of this user's. Nothing in the directory may be acknowledged before that.
// Errors      as base/file_storage_error.h; `subject` the directory that could not be made, or synced.
// Threads     a function of the file system.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace qh {

/// True if `directory` itself was not there yet.
Result<bool> make_directories(const std::filesystem::path& directory);

}  // namespace qh
