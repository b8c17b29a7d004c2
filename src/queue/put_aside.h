// queue/put_aside.h - what is not ours to remove gets another name, and nothing is overwritten by that.
//
// Durability  none: the caller syncs the directory.
// Threads     the storage's owner; nobody else makes files there (the directory's lock).
#pragma once

#include <string>
#include <string_view>

#include "base/storage.h"
#include "base/task.h"

namespace qh::queue::wal {

/// `wanted`, or where that is taken the first free one of `wanted`.2, `wanted`.3, ...
Task<Result<std::string>> free_name(Storage& storage, std::string wanted);
/// Renames `name` to the free name of `name` and `suffix`. Answers what it is now.
Task<Result<std::string>> put_aside(Storage& storage, std::string name, std::string suffix);

}  // namespace qh::queue::wal
