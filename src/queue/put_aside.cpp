#include "queue/put_aside.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"

namespace qh::queue::wal {

Task<Result<std::string>> free_name(Storage& storage, std::string wanted) {
  auto entries = co_await io::list(storage);
  if (!entries) co_return fail(std::move(entries.error()));
  const auto taken = [&](const std::string& name) {
    return std::any_of(entries->begin(), entries->end(), [&](const auto& entry) { return entry.name == name; });
  };
  auto name = wanted;
  for (int i = 2; taken(name); ++i) name = fmt::format("{}.{}", wanted, i);
  co_return name;
}

Task<Result<std::string>> put_aside(Storage& storage, std::string name, std::string suffix) {
  auto to = co_await free_name(storage, name + suffix);
  if (!to) co_return to;
  auto done = co_await io::rename(storage, name, *to);
  if (!done) co_return fail(std::move(done.error()));
  co_return to;
}

}  // namespace qh::queue::wal
