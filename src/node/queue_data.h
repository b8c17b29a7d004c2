// node/queue_data.h - whether there are data where a validator had some.
//
// Errors   as base/file_storage_error.h: the directory cannot be read, so nobody knows.
// Threads  a function of the file system, which may take as long as a disk hangs.
#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "queue/log_format.h"

namespace qh::node {

/// Whether `directory` has a queue in it: an identity, or a part of a log that is not zeros all over its begin, as a
/// creation makes it. What is damaged, or cannot be read, is a queue; a directory that is not there has none.
Result<bool> has_queue(const std::filesystem::path& directory);

/// Whose queue it is. Nothing where the identity is missing or does not check: what is wrong with it a start says.
std::optional<queue::wal::Identity> identity_in(const std::filesystem::path& directory);

}  // namespace qh::node
