// base/storage_await.h - Storage's operations for co_await.
#pragma once

#include "base/storage.h"
#include "base/task.h"

namespace qh::io {

inline auto open(Storage& s, std::string name, Storage::OpenMode mode) {
  return until<Result<FileId>>(
      [&s, name = std::move(name), mode](auto done) mutable { s.open(std::move(name), mode, std::move(done)); });
}
inline auto read(Storage& s, FileId file, std::uint64_t offset, std::span<std::byte> into, Storage::ReadPath path) {
  return until<Result<std::size_t>>(
      [&s, file, offset, into, path](auto done) { s.read(file, offset, into, path, std::move(done)); });
}
inline auto write(Storage& s, FileId file, std::uint64_t offset, ByteView bytes, Storage::Durability durability) {
  return until<Result<void>>(
      [&s, file, offset, bytes, durability](auto done) { s.write(file, offset, bytes, durability, std::move(done)); });
}
inline auto sync(Storage& s, FileId file) {
  return until<Result<void>>([&s, file](auto done) { s.sync(file, std::move(done)); });
}
inline auto zero_fill(Storage& s, FileId file, std::uint64_t from, std::uint64_t to) {
  return until<Result<void>>([&s, file, from, to](auto done) { s.zero_fill(file, from, to, std::move(done)); });
}
inline auto truncate(Storage& s, FileId file, std::uint64_t bytes) {
  return until<Result<void>>([&s, file, bytes](auto done) { s.truncate(file, bytes, std::move(done)); });
}
inline auto rename(Storage& s, std::string from, std::string to) {
  return until<Result<void>>([&s, from = std::move(from), to = std::move(to)](auto done) mutable {
    s.rename(std::move(from), std::move(to), std::move(done));
  });
}
inline auto remove(Storage& s, std::string name) {
  return until<Result<void>>(
      [&s, name = std::move(name)](auto done) mutable { s.remove(std::move(name), std::move(done)); });
}
inline auto list(Storage& s) {
  return until<Result<std::vector<Storage::Entry>>>([&s](auto done) { s.list(std::move(done)); });
}
inline auto sync_directory(Storage& s) {
  return until<Result<void>>([&s](auto done) { s.sync_directory(std::move(done)); });
}
inline auto free_space(Storage& s) {
  return until<Result<std::uint64_t>>([&s](auto done) { s.free_space(std::move(done)); });
}

}  // namespace qh::io
