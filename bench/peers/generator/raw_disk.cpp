#include "bench/peers/generator/raw_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "base/file_storage_file.h"
#include "bench/peers/generator/load.h"

namespace qh::bench {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kFileBytes = std::size_t{16} << 20;
constexpr std::size_t kRecord = 300;

struct alignas(kBlock) Block {
  char bytes[kBlock] = {};
};

/// How often `write` succeeds in a second.
template <class Write>
Result<double> rate_of(double seconds, Write write) {
  const auto begin = now_ns();
  const auto end = begin + static_cast<std::int64_t>(seconds * 1e9);
  std::uint64_t count = 0;
  auto now = begin;
  for (; now < end; now = now_ns(), ++count) {
    if (!write(count)) return fail(Error(Errc::kIo, "raw disk", errno));
  }
  return static_cast<double>(count) / (static_cast<double>(now - begin) * 1e-9);
}

Result<double> overwrite_rate(const std::string& path, double seconds) {
  const Block block;
  const UniqueFd fill(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  for (std::size_t at = 0; at < kFileBytes; at += kBlock) {
    if (::write(fill.get(), block.bytes, kBlock) != static_cast<ssize_t>(kBlock)) {
      return fail(Error(Errc::kIo, "fill " + path, errno));
    }
  }
  if (::fsync(fill.get()) != 0) return fail(Error(Errc::kIo, "fsync " + path, errno));
  int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
  if (fd < 0) fd = ::open(path.c_str(), O_RDWR | O_DSYNC | O_CLOEXEC);  // a file system without O_DIRECT
  const UniqueFd file(fd);
  return rate_of(seconds, [&](std::uint64_t count) {
    return ::pwrite(file.get(), block.bytes, kBlock, static_cast<off_t>(count * kBlock % kFileBytes)) ==
           static_cast<ssize_t>(kBlock);
  });
}

Result<double> append_rate(const std::string& path, double seconds) {
  const Block block;
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
  return rate_of(seconds, [&](std::uint64_t) {
    return ::write(file.get(), block.bytes, kRecord) == static_cast<ssize_t>(kRecord) && ::fdatasync(file.get()) == 0;
  });
}

}  // namespace

Result<DiskRates> raw_disk(const std::filesystem::path& directory, double seconds) {
  // Two files: a first append would wait for the blocks of the other to be given back.
  const auto full = (directory / "raw-overwrite").string(), growing = (directory / "raw-append").string();
  const auto overwrite = overwrite_rate(full, seconds);
  const auto append = overwrite ? append_rate(growing, seconds) : overwrite;
  ::unlink(full.c_str());
  ::unlink(growing.c_str());
  if (!append) return fail(append.error());
  return DiskRates{*overwrite, *append};
}

}  // namespace qh::bench
