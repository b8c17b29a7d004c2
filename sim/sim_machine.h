// sim/sim_machine.h - a world with a disk whose operations are asked one after the other: for tests.
//
// Errors   as SimDisk; kTimeout: no answer can come (the disk was cut, frozen or killed).
// Threads  one owner.
#pragma once

#include <string>

#include "sim/answered.h"
#include "sim/sim_disk.h"

namespace qh {

struct SimMachine {
  explicit SimMachine(std::uint64_t seed, SimDisk::Options options = {}) : world(seed), disk(world, seed, options) {}

  Result<FileId> open(const std::string& name, Storage::OpenMode mode = Storage::OpenMode::kReadWrite) {
    return answered<FileId>(world, [&](auto done) { disk.open(name, mode, std::move(done)); });
  }
  /// A file whose name and `count` blocks of `fill` are durable.
  FileId durable_file(const std::string& name, std::size_t count, char fill) {
    const FileId file = open(name, Storage::OpenMode::kCreate).value();
    const auto data = blocks(count, fill);
    INVARIANT(write(file, 0, data.view()) && sync_directory(), "a disk without faults");
    return file;
  }
  Result<void> write(FileId file, std::uint64_t offset, ByteView bytes,
                     Storage::Durability how = Storage::Durability::kDurable) {
    return answered<void>(world, [&](auto done) { disk.write(file, offset, bytes, how, std::move(done)); });
  }
  Result<void> sync(FileId file) {
    return answered<void>(world, [&](auto done) { disk.sync(file, std::move(done)); });
  }
  Result<void> zero_fill(FileId file, std::uint64_t from, std::uint64_t to) {
    return answered<void>(world, [&](auto done) { disk.zero_fill(file, from, to, std::move(done)); });
  }
  Result<void> truncate(FileId file, std::uint64_t bytes) {
    return answered<void>(world, [&](auto done) { disk.truncate(file, bytes, std::move(done)); });
  }
  Result<void> sync_directory() {
    return answered<void>(world, [&](auto done) { disk.sync_directory(std::move(done)); });
  }
  Result<void> rename(const std::string& from, const std::string& to) {
    return answered<void>(world, [&](auto done) { disk.rename(from, to, std::move(done)); });
  }
  Result<void> remove(const std::string& name) {
    return answered<void>(world, [&](auto done) { disk.remove(name, std::move(done)); });
  }
  Result<std::string> read(FileId file, std::uint64_t offset, std::size_t bytes,
                           Storage::ReadPath path = Storage::ReadPath::kCached) {
    std::string into(bytes, '?');
    auto got = answered<std::size_t>(world, [&](auto done) {
      disk.read(file, offset, std::as_writable_bytes(std::span(into)), path, std::move(done));
    });
    if (!got) return fail(std::move(got.error()));
    into.resize(*got);
    return into;
  }
  void power_cycle(std::uint64_t seed) {
    disk.power_cut(seed);
    disk.reboot();
  }

  /// Memory as writes want it, full of `fill`.
  static AlignedBuffer blocks(std::size_t count, char fill) {
    AlignedBuffer buffer(count * Storage::kBlockBytes);
    std::memset(buffer.data(), fill, buffer.size());
    return buffer;
  }

  SimWorld world;
  SimDisk disk;
};

}  // namespace qh
